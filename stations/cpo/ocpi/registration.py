"""The OCPI handshake, both ways: which version, who calls whom, which token dies, which addresses we may use."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from pydantic import ValidationError

from fleetcharge.lib import crypto
from fleetcharge.lib.db import fetch_prepared, in_one_line
from fleetcharge.lib.events import publish
from fleetcharge.lib.remembered import Remembered, version
from stations import services
from stations.cpo.base import CPOError
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.dialects import DIALECTS, dialect_of
from stations.cpo.ocpi.directory import OUR_COUNTRY, OUR_PARTY
from stations.cpo.ocpi.objects.credentials import CredentialsIn, VersionDetailsIn, VersionIn
from stations.events import SourceStateChanged
from stations.models import Party, Source

NEEDED = ("credentials", "locations")
NAMES = {"booking": "bookings"}  # as the specification prints the identifier, and as it means it
CALL_BACK_SECONDS = 15.0
"""The peer waits for the answer to its own call meanwhile."""
THEY_RECEIVE = frozenset({"tokens", "commands", "chargingprofiles"})


@dataclass(frozen=True)
class Offer:
    """What a peer lists: the version to speak, and its addresses by module."""

    version: str
    endpoints: dict[str, str]


@dataclass(frozen=True)
class Peer:
    """What a handshake learned; stored in one go."""

    token: str
    offer: Offer
    credentials: CredentialsIn | None


def our_credentials(token: str, version: str = "2.2.1") -> dict[str, Any]:
    """OCPI Credentials object of FleetCharge, an EMSP, in the words of that version."""
    role = {
        "role": "EMSP",
        "country_code": OUR_COUNTRY,
        "party_id": OUR_PARTY,
        "business_details": {"name": "FleetCharge"},
    }
    ours = {"token": token, "url": f"{settings.PUBLIC_BASE_URL}/ocpi/versions", "roles": [role]}
    return dialect_of(version).write("credentials", ours)


# --- we start ---------------------------------------------------------------------------------------------------
def register(source: Source, *, at: datetime) -> None:
    """Read the CPO's versions with TOKEN_A, POST our credentials, keep TOKEN_C. Raises CPOError.

    Our own token must be valid before the POST, because the CPO calls us back while it is open.
    """
    _exchange(source, "POST", at)


def rotate(source: Source, *, at: datetime) -> None:
    """New tokens both ways, and the CPO's addresses (perhaps of another version) anew.

    The old tokens work until the new ones are used.
    """
    _exchange(source, "PUT", at)


def _exchange(source: Source, method: str, at: datetime) -> None:
    with OCPIClient(source) as client:
        offer = discover(client, source.base_url, source.peer_token, wanted=source.ocpi_version)
        ours = new_token_for(source)
        body = our_credentials(ours, offer.version)
        answer = client.call(method, offer.endpoints["credentials"], body=body, routed=False)
        theirs = _credentials_of(source, answer, offer.version)
        save_peer(source, Peer(theirs.token, offer, theirs), at=at, is_raw=client.sends_raw)


def _credentials_of(source: Source, answer: Any, version: str) -> CredentialsIn:
    try:
        return read_credentials(answer, version)
    except ValidationError:
        raise CPOError("not_ocpi", f"{source.name} answers the handshake without credentials.") from None


def read_credentials(raw: Any, version: str) -> CredentialsIn:
    return CredentialsIn.model_validate(dialect_of(version).read("credentials", raw, ("", "")))


def discover(client: OCPIClient, versions_url: str, token: str, *, wanted: str = "", is_only: bool = False) -> Offer:
    """The version to speak and the addresses of its modules, exactly as the peer lists them. Never built, always taken.

    `wanted` where the peer offers it, else the newest that both speak; `is_only`: that or nothing. Raises CPOError
    `no_version` and `no_endpoint`.
    """
    try:
        return _discover(client, versions_url, token, wanted, is_only)
    except (ValidationError, TypeError):
        raise CPOError("not_ocpi", f"{client.source.name} lists its versions in a form we cannot read.") from None


def _discover(client: OCPIClient, versions_url: str, token: str, wanted: str, is_only: bool) -> Offer:
    offered = [VersionIn.model_validate(entry) for entry in _versions(client, versions_url, token)]
    urls = {entry.version.strip(): entry.url for entry in offered}
    choices = [wanted] if is_only else [wanted, *DIALECTS]
    version = next((choice for choice in choices if choice in urls), None)
    if version is None:
        raise CPOError("no_version", f"{client.source.name} does not offer OCPI {wanted or ' or '.join(DIALECTS)}.")
    details = VersionDetailsIn.model_validate(client.call("GET", urls[version], token=token, routed=False))
    endpoints = _endpoints(details)
    if missing := [name for name in NEEDED if name not in endpoints]:
        raise CPOError("no_endpoint", f"{client.source.name} offers no {', '.join(missing)} module.")
    return Offer(version, endpoints)


def _versions(client: OCPIClient, url: str, token: str) -> list[Any]:
    """Asked with the token in base64 (2.2 on) or raw (2.1.1): whichever the peer takes is kept."""
    try:
        return list(client.call("GET", url, token=token, routed=False) or [])
    except CPOError as error:
        if error.code != "http_401":
            raise
        return _versions_otherwise(client, url, token, error)


def _versions_otherwise(client: OCPIClient, url: str, token: str, refusal: CPOError) -> list[Any]:
    """The other way to write the token; where that fails too, however it fails, the first refusal is what is said."""
    client.sends_raw = not client.sends_raw
    try:
        return list(client.call("GET", url, token=token, routed=False) or [])
    except CPOError:
        client.sends_raw = not client.sends_raw
        raise refusal from None


def _endpoints(details: VersionDetailsIn) -> dict[str, str]:
    """Of each module the side we call; 2.1.1 tells no sides."""
    endpoints: dict[str, str] = {}
    for entry in details.endpoints:
        name = NAMES.get(entry.identifier.lower(), entry.identifier.lower())
        side = "RECEIVER" if name in THEY_RECEIVE else "SENDER"
        if name == "credentials" or entry.role.upper() in {side, ""}:
            endpoints[name] = entry.url
    return endpoints


# --- tokens of ours ---------------------------------------------------------------------------------------------
def new_token_for(source: Source) -> str:
    """A fresh token that the peer presents to us; the old one stays valid until this one is first used."""
    token = crypto.new_token(32)
    new_hash = crypto.keyed_hash(token, purpose=Source.OUR_TOKEN_PURPOSE)
    Source.objects.filter(pk=source.pk).update(our_token_hash=new_hash, old_token_hash=source.our_token_hash)
    source.old_token_hash, source.our_token_hash = source.our_token_hash, new_hash
    return token


def source_of_token(presented: str) -> Source | None:
    """Who calls, by its old or new token. The first use of a new token retires the old one.

    Tokens are kept as keyed hashes: looking one up compares nothing that an attacker could time.
    """
    digest = crypto.keyed_hash(presented, purpose=Source.OUR_TOKEN_PURPOSE)
    if source := Source.objects.filter(our_token_hash=digest).first():
        if source.old_token_hash:
            Source.objects.filter(pk=source.pk).update(old_token_hash="")
        return source
    return Source.objects.filter(old_token_hash=digest).first()


_BY_TOKEN = in_one_line(f"""
SELECT s.id, s.our_token_hash, s.old_token_hash, {version("s")} FROM stations_source s
WHERE s.our_token_hash = ANY(%s) OR s.old_token_hash = ANY(%s)
""")  # noqa: S608 (a constant)
_sources: Remembered[Source] = Remembered(Source.objects.in_bulk)


def sources_of_tokens(presented: Collection[str]) -> dict[str, Source]:
    """As `source_of_token`, of many in one query; those nobody knows are left out. The sources are for reading."""
    digests = {token: crypto.keyed_hash(token, purpose=Source.OUR_TOKEN_PURPOSE) for token in presented}
    rows = fetch_prepared(_BY_TOKEN, [list(digests.values())] * 2)
    sources = _sources.get({pk: row_version for pk, _, _, row_version in rows})
    owners = {old: pk for pk, _, old, _ in rows if old} | {ours: pk for pk, ours, _, _ in rows if ours}
    if renewed := [pk for pk, ours, old, _ in rows if old and ours in digests.values()]:
        Source.objects.filter(pk__in=renewed).update(old_token_hash="")
    found = {token: sources.get(owners.get(digest, 0)) for token, digest in digests.items()}
    return {token: source for token, source in found.items() if source}


# --- what is kept -----------------------------------------------------------------------------------------------
@transaction.atomic
def save_peer(source: Source, peer: Peer, *, at: datetime, is_raw: bool) -> None:
    source.peer_token, source.sends_raw_token = peer.token, is_raw
    source.kind = f"ocpi-{peer.offer.version}"
    old, source.endpoints, source.state = source.state, peer.offer.endpoints, Source.State.CONNECTED
    source.failures_in_row, source.last_error, source.next_poll_at = 0, "", at
    source.save(
        update_fields=[
            "peer_token_encrypted", "sends_raw_token", "kind", "endpoints", "state", "failures_in_row", "last_error",
            "next_poll_at",
        ]
    )  # fmt: skip
    if old != source.state:
        publish(SourceStateChanged(source.pk, old, source.state, at))
    for role in peer.credentials.roles if peer.credentials else []:
        Party.objects.update_or_create(
            source=source,
            country_code=role.country_code.upper(),
            party_id=role.party_id.upper(),
            defaults={"name": (role.business_details.name or role.party_id)[:120], "role": role.role[:10].upper()},
        )


def accept_peer(source: Source, credentials: CredentialsIn, *, version: str, at: datetime) -> str:
    """The CPO starts (or rotates, or upgrades): read its versions with its token while its call is open.

    The version is that of the address it called. Returns the new token that it presents from now on.
    """
    is_raw = not dialect_of(version).encodes_token
    with OCPIClient(source, sends_raw=is_raw, seconds=CALL_BACK_SECONDS) as client:
        offer = discover(client, credentials.url, credentials.token, wanted=version, is_only=True)
        is_raw = client.sends_raw
    ours = new_token_for(source)
    Source.objects.filter(pk=source.pk).update(base_url=credentials.url)
    save_peer(source, Peer(credentials.token, offer, credentials), at=at, is_raw=is_raw)
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


def check(source: Source) -> Offer:
    """Does the CPO answer, in which version, and with which modules? Changes nothing. Raises CPOError."""
    with OCPIClient(source) as client:
        return discover(client, source.base_url, source.peer_token, wanted=source.ocpi_version)
