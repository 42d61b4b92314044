"""Who is knocking: identity from the path, key or certificate, security profile, one sub-protocol both sides speak."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.db import connection

from fleetcharge.lib import crypto
from fleetcharge.lib.asgi import header
from ocpp_bridge import certificates, quirks
from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.quirks import QuirkProfile
from stations import services as stations
from stations.models import Charger

PREFIX = b"/ocpp/"
MAX_IDENTITY_LENGTH = 48
_HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}){16,20}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Refused(Exception):
    """The handshake fails: an HTTP status where the server can send one, and the true reason for the log."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


@dataclass(frozen=True)
class Known:
    """What the handshake needs of a charger's record."""

    charger_id: int
    organisation_id: int
    auth_key_hash: str
    subprotocols: tuple[str, ...]
    registration: str
    next_auth_key_hash: str = ""
    min_security_profile: int = 0
    has_booted: bool = True
    clock_skew_seconds: float | None = None
    profile: QuirkProfile | None = None


@dataclass(frozen=True)
class Admission:
    """How a charger proved itself: the OCPP security profile of this socket, and the new key it has used, as a hash.

    `credential`: the hash of the key that the socket stands on, "" where none was asked for, None for a certificate.
    """

    security_profile: int
    next_key_hash: str = ""
    credential: str | None = None


def identity_of(scope: dict[str, Any]) -> str:
    """The last part of `/ocpp/<identity>`, percent-decoded once, one trailing slash tolerated (OCPP-J 1.6, 3.1.1)."""
    raw = scope.get("raw_path") or scope["path"].encode()
    rest = raw.partition(b"?")[0].removeprefix(PREFIX).removesuffix(b"/")
    try:
        identity = unquote_to_bytes(rest).decode()
    except UnicodeDecodeError:
        raise Refused(404, "bad_identity", "The identity is not UTF-8.") from None
    if not identity or len(identity) > MAX_IDENTITY_LENGTH or ":" in identity or _CONTROL.search(identity):
        raise Refused(404, "bad_identity", "This is no charger identity.")
    return identity


_FIND = """
SELECT ocpp_identity, id, organisation_id, auth_key_hash, subprotocols, registration, next_auth_key_hash,
       min_security_profile, last_boot_at IS NOT NULL, clock_skew_seconds, vendor, model, firmware_version
FROM stations_charger WHERE ocpp_identity = ANY(%s)
"""


def find_chargers(identities: Sequence[str]) -> dict[str, Known]:
    """One query; strangers are not in it."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [list(identities)])
        return {identity: _known(*row) for identity, *row in cursor.fetchall()}


def _known(
    charger_id: int, organisation_id: int, auth_key_hash: str, subprotocols: list[str], registration: str,
    next_auth_key_hash: str, min_security_profile: int, has_booted: bool, clock_skew_seconds: float | None,
    vendor: str, model: str, firmware_version: str,
) -> Known:  # fmt: skip
    return Known(
        charger_id=charger_id,
        organisation_id=organisation_id,
        auth_key_hash=auth_key_hash,
        subprotocols=tuple(subprotocols),
        registration=registration,
        next_auth_key_hash=next_auth_key_hash,
        min_security_profile=min_security_profile,
        has_booted=has_booted,
        clock_skew_seconds=clock_skew_seconds,
        profile=quirks.find(vendor, model, firmware_version),
    )


def onboard(identity: str, scope: dict[str, Any], at: datetime) -> Known | None:
    """A stranger becomes a Pending charger of the fleet that takes them, with the key it brought; None: not now."""
    credentials = basic_credentials(header(scope, b"authorization"))
    is_its_own = credentials is not None and credentials[0] == identity.encode() and credentials[1]
    key_hash = crypto.keyed_hash(credentials[1], purpose=Charger.KEY_PURPOSE) if credentials and is_its_own else ""
    charger_id = stations.onboard_charger(
        ocpp_identity=identity,
        auth_key_hash=key_hash,
        organisation_slug=settings.OCPP_ONBOARD_ORGANISATION,
        at=at,
    )
    return None if charger_id is None else find_chargers([identity]).get(identity)


def admit(scope: dict[str, Any], identity: str, known: Known) -> Admission:
    """Raise Refused(401) unless the charger proves who it is, by at least the profile its record asks for.

    OCPP 1.6 security white paper section 3, OCPP 2.0.1 part 2 A00: 1 is a key, 2 a key over TLS, 3 a certificate.
    """
    name = certificates.subject_of(scope)
    if name is not None and name != identity:
        raise Refused(401, "wrong_certificate", "The certificate is another charger's.")
    if name is not None:
        admission = Admission(Charger.SecurityProfile.CERTIFICATE)
    else:
        next_key_hash = check_key(scope, identity, known)
        keyed = Charger.SecurityProfile.TLS if certificates.is_encrypted(scope) else Charger.SecurityProfile.BASIC
        credential = next_key_hash or known.auth_key_hash
        profile = keyed if credential else Charger.SecurityProfile.NONE
        admission = Admission(profile, next_key_hash, credential=credential)
    if admission.security_profile < known.min_security_profile:
        detail = f"Security profile {known.min_security_profile} is needed, this is {admission.security_profile}."
        raise Refused(401, "security_profile", detail)
    return admission


def check_key(scope: dict[str, Any], identity: str, known: Known) -> str:
    """Raise Refused(401) unless the Basic credentials are the charger's; no stored key means no question.

    The key to come is as good as the present one, and ends the time without any when it is the first; its hash is
    returned when it was the one used, else "".
    """
    credentials = basic_credentials(header(scope, b"authorization"))
    if not known.auth_key_hash:
        is_first = credentials is not None and credentials[0] == identity.encode() and is_next(credentials[1], known)
        return known.next_auth_key_hash if is_first else ""
    if credentials is None:
        raise Refused(401, "no_credentials", "Basic authorization is needed.")
    user, key = credentials
    if user != identity.encode():
        raise Refused(401, "wrong_user", "The user name must be the charger's identity.")
    is_new = is_next(key, known)
    if not is_key(key, known.auth_key_hash) and not is_new:
        raise Refused(401, "wrong_key", "The key is wrong.")
    return known.next_auth_key_hash if is_new else ""


def basic_credentials(value: bytes) -> tuple[bytes, bytes] | None:
    """(user, password) as raw bytes, split at the first colon: passwords need not be text."""
    kind, _, encoded = value.partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return None
    user, colon, password = raw.partition(b":")
    return (user, password) if colon else None


def is_next(presented: bytes, known: Known) -> bool:
    return bool(known.next_auth_key_hash) and is_key(presented, known.next_auth_key_hash)


def is_key(presented: bytes, stored_hash: str) -> bool:
    """The key as we store it, or one of the forms chargers send it in.

    Stations decode a hexadecimal AuthorizationKey and send the bytes (OCPP security white paper); others send the
    digits of the bytes that we store, or change their case. All forms are always compared, so timing tells nothing.
    """
    forms = {presented, presented.hex().encode(), presented.hex().upper().encode()}
    if _HEXADECIMAL.fullmatch(presented):
        forms |= {presented.lower(), presented.upper(), bytes.fromhex(presented.decode())}
    return sum(crypto.matches(form, stored_hash, purpose=Charger.KEY_PURPOSE) for form in forms) > 0


def choose_subprotocol(offered: Sequence[str], allowed: Sequence[str]) -> str:
    """The first of the client's list that we speak and the record allows; for one that offers none, our setting's."""
    if not offered and settings.OCPP_DEFAULT_SUBPROTOCOL:
        offered = [settings.OCPP_DEFAULT_SUBPROTOCOL]
    for name in offered:
        if name in DIALECTS and (not allowed or name in allowed):
            return name
    raise Refused(400, "no_subprotocol", f"Offer one of: {', '.join(DIALECTS)}.")
