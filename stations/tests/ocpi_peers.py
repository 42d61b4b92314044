"""A CPO of any OCPI version that is registered with us over HTTP, tokens in both directions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.peers.ocpi import OCPIPeer
from stations.cpo.ocpi import registration
from stations.models import Connector, NetworkAccess, Source
from stations.tasks import poll_source
from stations.tests.serving import serve
from vehicles.models import IdToken

VERSIONS = ("2.1.1", "2.2.1", "2.3.0")


@dataclass
class Network:
    """The simulated CPO and our side of it."""

    peer: OCPIPeer
    ours: str
    source: Source

    @property
    def version(self) -> str:
        return self.peer.version

    def register(self) -> None:
        registration.register(self.source, at=timezone.now())
        self.source.refresh_from_db()

    def poll(self) -> Source:
        poll_source(self.source.pk)
        self.source.refresh_from_db()
        return self.source

    def poll_since_october(self) -> Source:
        """The objects of the simulator are older than the poll that registered it."""
        Source.objects.filter(pk=self.source.pk).update(last_polled_at=datetime(2026, 10, 31, tzinfo=UTC))
        return self.poll()

    def plug(self, uid: str = "E1-1") -> Connector:
        return Connector.objects.select_related("evse__location__source").get(evse__uid=uid)


@contextmanager
def network(ours: str, *versions: str, kind: str = "ocpi") -> Iterator[Network]:
    """Served, known to us by its address and TOKEN_A, not registered yet."""
    peer = OCPIPeer(*versions)
    with serve(peer) as base:
        peer.base_url = base
        source = Source(slug="volt", name="VoltGrid", kind=kind, base_url=f"{base}/versions")
        source.peer_token = "TOKEN_A"
        source.save()
        yield Network(peer, ours, source)


def give_access(source: Source, organisation: Organisation, *uids: str) -> list[IdToken]:
    """The fleet may charge there, with these cards."""
    NetworkAccess.objects.get_or_create(source=source, organisation=organisation)
    return [IdToken.objects.create(organisation=organisation, uid=uid) for uid in uids]


def code(answer: object) -> tuple[int, int]:
    """(HTTP status, OCPI status code)."""
    return answer.status_code, answer.json()["status_code"]  # type: ignore[attr-defined]
