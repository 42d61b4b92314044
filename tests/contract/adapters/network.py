"""What a test may ask of a network of any kind, and of the peer on its other side."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from billing.models import ChargingSession
from billing.tests.factories import fund
from dispatch import services
from dispatch.models import Reservation, SessionCommand
from dispatch.tests import factories
from fleetcharge.accounts.models import Membership, Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from stations.cpo import registry
from stations.cpo.base import Capability, CPOAdapter
from stations.models import Connector, Location, NetworkAccess, Source
from stations.tasks import poll_source
from stations.tests.serving import serve
from tests.contract.adapters.line import Door, Line
from tests.running import wait_for
from vehicles.models import IdToken, Vehicle

CARD = "CARD1"
Test = TypeVar("Test", bound=Callable[..., None])


class Network:
    """One kind of network, connected. The peer's first plug is `plug()`, free at the start; `plug(1)` is another's."""

    name = ""
    slug = ""
    can_cancel = True
    """Where False, a promise runs out at the peer by itself (OCPI 2.1.1)."""
    can_time_out = False
    """Has a word of its own for "my charger did not answer me" (OCPI's TIMEOUT)."""
    line: Line

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    # --- both sides -----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def connected(self) -> Iterator["Network"]:
        """A fleet that may charge there, a stranger that may not, the peer served and registered."""
        with self.stack:
            self.stack.enter_context(override_settings(OCPI_ALLOW_PRIVATE_HOSTS=True, OCPI_PEER_RATE="1000/s"))
            now = timezone.now()
            self.fleet = Organisation.objects.create(name="Namma Logistics", slug="namma")
            self.stranger = Organisation.objects.create(name="Stranger Movers", slug="stranger")
            self.van, self.other_van = (factories.vehicle(self.fleet, at=now, soc_percent=60) for _ in range(2))
            IdToken.objects.filter(vehicle=self.van).update(uid=CARD)
            self.strange_van = factories.vehicle(self.stranger, at=now, soc_percent=60)
            for organisation in (self.fleet, self.stranger):
                fund(organisation, 1_000_000)
            self.keys = {organisation.pk: self._key(organisation) for organisation in (self.fleet, self.stranger)}
            self.dispatcher = User.objects.create_user("asha@namma.example", "correct horse", full_name="Asha R")
            Membership.objects.create(user=self.dispatcher, organisation=self.fleet, role=Membership.Role.DISPATCHER)
            self.connect()
            NetworkAccess.objects.get_or_create(source=self.source(), organisation=self.fleet)
            yield self

    def _key(self, organisation: Organisation) -> str:
        return create_api_key(organisation=organisation, name="test", scopes=list(Scope.values))[1]

    def connect(self) -> None:
        """Serve the peer and our side, make the source, and take over what the peer has."""
        raise NotImplementedError

    def serve_ours(self, app: Any) -> str:
        """Our side, where the peer calls us; its address."""
        self.ours = Door(app)
        base = self.stack.enter_context(serve(self.ours))
        self.stack.enter_context(override_settings(PUBLIC_BASE_URL=base))
        return base

    ours: Door
    peer: Any

    def rest(self) -> None:
        """Wait until neither side has anything under way any more."""

        def is_quiet() -> bool:
            before = self.ours.asked, self.line.asked
            is_busy = self.ours.active or self.line.active or vars(self.peer).get("_tasks")
            return not is_busy and before == (self.ours.asked, self.line.asked)

        until("both sides to be at rest", is_quiet)

    def calm(self) -> None:
        """The peer as it was when it was connected; called before the rows are put back."""

    def settle(self) -> None:
        """What has to be done after the rows were put back."""

    # --- our side -------------------------------------------------------------------------------------------------
    def source(self) -> Source:
        return Source.objects.get(slug=self.slug)

    def adapter(self) -> CPOAdapter:
        return registry.adapter_for(self.source())

    def has(self, *capabilities: Capability) -> bool:
        return all(registry.can(self.source(), capability) for capability in capabilities)

    def plug(self, number: int = 0) -> Connector:
        related = ("evse__location__source", "evse__charger", "tariff")
        return Connector.objects.select_related(*related).get(pk=self.plugs[number])

    plugs: list[int]

    def remember_plugs(self, *uids: str) -> None:
        found = dict(Connector.objects.values_list("evse__uid", "pk"))
        self.plugs = [found[uid] for uid in uids]

    def sites(self) -> Any:
        return Location.objects.filter(source__slug=self.slug)

    def poll(self) -> Source:
        poll_source(self.source().pk)
        return self.source()

    def client(self, organisation: Organisation | None = None) -> Client:
        return Client(headers={"X-API-Key": self.keys[(organisation or self.fleet).pk]})

    def drawer(self) -> str:
        """What a dispatcher sees of the first plug's station."""
        page = Client()
        page.force_login(self.dispatcher)
        answer = page.get(reverse("station-drawer", args=[self.plug().evse.location.public_id]))
        assert answer.status_code == 200, answer.content
        return str(answer.content.decode())

    def shows(self, status: str, number: int = 0) -> Connector:
        wait_for(f"plug {number} to be {status}", lambda: self.plug(number).status == status, every=0.02)
        return self.plug(number)

    # --- what a fleet does ----------------------------------------------------------------------------------------
    def reserve(self, van: Vehicle | None = None, number: int = 0, minutes: int = 30) -> Reservation:
        """By hand, through the API; its network is asked at once (tasks run where they are started)."""
        wish = {"vehicle_id": (van or self.van).pk, "connector_id": self.plugs[number], "minutes": minutes,
                "is_rebooked": False}  # fmt: skip
        answer = self.client().post("/api/v1/reservations/", wish, content_type="application/json")
        assert answer.status_code == 201, answer.content
        return Reservation.objects.get(pk=answer.json()["number"])

    def cancel(self, row: Reservation) -> Reservation:
        answer = self.client().post(f"/api/v1/reservations/{row.number}/cancel/", {}, content_type="application/json")
        assert answer.status_code == 200, answer.content
        row.refresh_from_db()
        return row

    def start(self, van: Vehicle | None = None) -> SessionCommand:
        now = timezone.now()
        command = services.start_charging(
            vehicle_id=(van or self.van).pk, connector_id=self.plugs[0], actor=None, now=now
        )
        services.send_command(command.pk, now)
        command.refresh_from_db()
        return command

    def stop(self, session: ChargingSession) -> SessionCommand:
        now = timezone.now()
        command = services.stop_charging(session_id=session.pk, actor=None, now=now)
        services.send_command(command.pk, now)
        command.refresh_from_db()
        return command

    # --- the other side: reading ----------------------------------------------------------------------------------
    @property
    def requests(self) -> int:
        """How often we have asked the peer for anything."""
        return self.line.asked

    def deliver(self) -> Source:
        """Everything the peer has comes to us, by a whole pull or the peer's own pushes."""
        return self.poll()

    def tell(self, status: str, at: datetime) -> None:
        """The peer pushes that its first plug was `status` (a word of ours) at a time."""
        raise NotImplementedError

    def spoil(self) -> str:
        """Its second site becomes unusable and its third one is renamed "Renamed"; returns the name of the second."""
        raise NotImplementedError

    def refused(self) -> dict[str, str]:
        """Objects of the last delivery that were turned away, and why."""
        source = self.source()
        assert source.refused_objects == len(source.refusals)
        return {str(each["id"]): each["why"] for each in source.refusals}

    def lose_site(self) -> None:
        """Its second site is in no list any more, for as long as it takes to be believed."""
        raise NotImplementedError

    def find_site(self) -> None:
        """It is back in the lists."""
        raise NotImplementedError

    def go_silent(self) -> None:
        self.line.close()

    def speak(self) -> None:
        """The peer is back, and says what it has to say."""
        self.line.open()
        self.deliver()

    # --- the other side: promises and sessions ---------------------------------------------------------------------
    def answers(self, how: str) -> None:
        """To promises and starts: "yes", "no", "never", or "timeout" where it can say so."""
        raise NotImplementedError

    def answer_late(self) -> None:
        """What was asked while it answered nothing is answered now, with yes."""
        raise NotImplementedError

    def held(self) -> list[str]:
        """The promises the peer keeps, by the names it knows them under."""
        raise NotImplementedError

    def reference(self, row: Reservation) -> str:
        """Our promise, by the peer's name."""
        raise NotImplementedError

    def keeps(self, row: Reservation) -> bool:
        """Does the peer keep our promise?"""
        return self.reference(row) in self.held()

    def car_arrives(self) -> None:
        """A car stands at the first plug and has not been let charge."""

    def session_begins(self, command: SessionCommand) -> None:
        """The peer reports the session of a start."""

    def session_ends(self, command: SessionCommand) -> None:
        """The peer reports its end."""


def only_for(fits: Callable[[Network], bool], otherwise: str) -> Callable[[Test], Test]:
    """The others are not even set up for the test; `otherwise` says why."""

    def remember(test: Test) -> Test:
        test.limits = [*getattr(test, "limits", ()), (fits, otherwise)]  # type: ignore[attr-defined]
        return test

    return remember


def needs(*capabilities: Capability, why: str = "") -> Callable[[Test], Test]:
    """For networks that declare these."""
    words = " and ".join(each.name for each in capabilities)
    return only_for(lambda network: network.has(*capabilities), f"does not declare {words}{why and ': '}{why}")


def lacks(capability: Capability) -> Callable[[Test], Test]:
    """For networks that declare that they cannot."""
    return only_for(lambda network: not network.has(capability), f"declares {capability.name}")


def becomes(row: Any, *states: str) -> Any:
    """The row once it is in one of these states."""

    def look() -> bool:
        row.refresh_from_db()
        return row.state in states

    wait_for(f"{row!r} to be {' or '.join(states)}", look, every=0.02)
    return row


def until(what: str, look: Callable[[], Any]) -> Any:
    return wait_for(what, look, every=0.02)
