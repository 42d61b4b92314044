"""The OCPI handshake, both ways: who calls whom, which token dies, which addresses we may use from then on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from pydantic import ValidationError

from fleetcharge.lib import crypto
from fleetcharge.lib.events import publish
from stations import services
from stations.cpo.base import CPOError
from stations.cpo.ocpi.client import OUR_COUNTRY, OUR_PARTY, OCPIClient
from stations.cpo.ocpi.wire import CredentialsIn
from stations.events import SourceStateChanged
from stations.models import Party, Source

VERSION = "2.2.1"
NEEDED = ("credentials", "locations")


@dataclass(frozen=True)
class Peer:
    """What a handshake learned; stored in one go."""

    token: str
    endpoints: dict[str, str]
    credentials: CredentialsIn | None


def our_credentials(token: str) -> dict[str, Any]:
    """OCPI Credentials object of FleetCharge, an EMSP."""
    return {
        "token": token,
        "url": f"{settings.PUBLIC_BASE_URL}/ocpi/versions",
        "roles": [
            {
                "role": "EMSP",
                "country_code": OUR_COUNTRY,
                "party_id": OUR_PARTY,
                "business_details": {"name": "FleetCharge"},
            }
        ],
    }


def register(source: Source, *, at: datetime) -> None:
    """We start: read the CPO's versions with TOKEN_A, POST our credentials, keep TOKEN_C. Raises CPOError.

    Our own token must be valid before the POST, because the CPO calls us back while it is open.
    """
    _exchange(source, "POST", at)


def rotate(source: Source, *, at: datetime) -> None:
    """New tokens both ways, and the CPO's addresses anew; the old ones work until the new ones are used."""
    _exchange(source, "PUT", at)


def _exchange(source: Source, method: str, at: datetime) -> None:
    with OCPIClient(source) as client:
        endpoints = discover(client, source.base_url, source.peer_token)
        ours = new_token_for(source)
        answer = client.call(method, endpoints["credentials"], body=our_credentials(ours), routed=False)
        theirs = _credentials_of(source, answer)
    save_peer(source, Peer(theirs.token, endpoints, theirs), at=at)


def _credentials_of(source: Source, answer: Any) -> CredentialsIn:
    try:
        return CredentialsIn.model_validate(answer)
    except ValidationError:
        raise CPOError("not_ocpi", f"{source.name} answers the handshake without credentials.") from None


def discover(client: OCPIClient, versions_url: str, token: str) -> dict[str, str]:
    """Endpoint addresses by module, exactly as the peer lists them. Never built, always taken."""
    try:
        endpoints = _endpoints(client, versions_url, token)
    except (KeyError, TypeError, AttributeError):
        raise CPOError("not_ocpi", f"{client.source.name} lists its versions in a form we cannot read.") from None
    if missing := [name for name in NEEDED if name not in endpoints]:
        raise CPOError("no_endpoint", f"{client.source.name} offers no {', '.join(missing)} module.")
    return endpoints


def _endpoints(client: OCPIClient, versions_url: str, token: str) -> dict[str, str]:
    versions = client.call("GET", versions_url, token=token, routed=False) or []
    url = next((entry["url"] for entry in versions if str(entry.get("version")) == VERSION), None)
    if url is None:
        raise CPOError("no_version", f"{client.source.name} does not offer OCPI {VERSION}.")
    details = client.call("GET", url, token=token, routed=False) or {}
    endpoints: dict[str, str] = {}
    for entry in details.get("endpoints", []):
        role = entry.get("role", "SENDER")
        if role == ("RECEIVER" if entry["identifier"] in {"commands", "tokens"} else "SENDER") or (
            entry["identifier"] == "credentials"
        ):
            endpoints[entry["identifier"]] = str(entry["url"])
    return endpoints


def new_token_for(source: Source) -> str:
    """A fresh token that the peer presents to us; the old one stays valid until this one is first used."""
    token = crypto.new_token(32)
    new_hash = crypto.keyed_hash(token, purpose=Source.OUR_TOKEN_PURPOSE)
    Source.objects.filter(pk=source.pk).update(our_token_hash=new_hash, old_token_hash=source.our_token_hash)
    source.old_token_hash, source.our_token_hash = source.our_token_hash, new_hash
    return token


@transaction.atomic
def save_peer(source: Source, peer: Peer, *, at: datetime) -> None:
    source.peer_token = peer.token
    old, source.endpoints, source.state = source.state, peer.endpoints, Source.State.CONNECTED
    source.failures_in_row, source.last_error, source.next_poll_at = 0, "", at
    source.save(
        update_fields=[
            "peer_token_encrypted", "endpoints", "state", "failures_in_row", "last_error", "next_poll_at",
        ]
    )  # fmt: skip
    if old != source.state:
        publish(SourceStateChanged(source.pk, old, source.state, at))
    for role in peer.credentials.roles if peer.credentials else []:
        Party.objects.update_or_create(
            source=source,
            country_code=role.country_code.upper(),
            party_id=role.party_id.upper(),
            defaults={"name": (role.business_details.name or role.party_id)[:120]},
        )


def accept_peer(source: Source, credentials: CredentialsIn, *, at: datetime) -> str:
    """The CPO starts (or rotates): read its versions with its token while its call is open, answer with a new token."""
    with OCPIClient(source) as client:
        endpoints = discover(client, credentials.url, credentials.token)
    ours = new_token_for(source)
    Source.objects.filter(pk=source.pk).update(base_url=credentials.url)
    save_peer(source, Peer(credentials.token, endpoints, credentials), at=at)
    return ours


@transaction.atomic
def forget_peer(source: Source, *, at: datetime) -> None:
    """The CPO unregistered: its token dies, its stations stay and decay."""
    Source.objects.filter(pk=source.pk).update(
        our_token_hash="", old_token_hash="", peer_token_encrypted="", endpoints={}
    )
    services.switch_source(source_id=source.pk, is_on=False, at=at)


def unregister(source: Source, *, at: datetime) -> None:
    """We leave: tell the CPO, then forget it."""
    with OCPIClient(source) as client:
        client.call("DELETE", source.endpoints["credentials"], routed=False)
    forget_peer(source, at=at)


def check(source: Source) -> dict[str, str]:
    """Does the CPO answer, and with which modules? Changes nothing. Raises CPOError."""
    with OCPIClient(source) as client:
        return discover(client, source.base_url, source.peer_token)


def source_of_token(presented: str) -> Source | None:
    """Who calls: raw or decoded token, old or new. The first use of a new token retires the old one."""
    digest = crypto.keyed_hash(presented, purpose=Source.OUR_TOKEN_PURPOSE)
    if source := Source.objects.filter(our_token_hash=digest).first():
        if source.old_token_hash:
            Source.objects.filter(pk=source.pk).update(old_token_hash="")
        return source
    return Source.objects.filter(old_token_hash=digest).first()
