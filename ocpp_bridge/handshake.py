"""Who is knocking: identity from the path, key from Basic auth, one sub-protocol both sides speak."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings

from fleetcharge.lib import crypto
from fleetcharge.lib.asgi import header
from ocpp_bridge.dialects import DIALECTS
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


def find_charger(identity: str) -> Known | None:
    """One query; None for a stranger."""
    fields = ("pk", "organisation_id", "auth_key_hash", "subprotocols", "registration")
    row = Charger.objects.filter(ocpp_identity=identity).values_list(*fields).first()
    return Known(row[0], row[1], row[2], tuple(row[3]), row[4]) if row else None


def check_key(scope: dict[str, Any], identity: str, known: Known) -> None:
    """Raise Refused(401) unless the Basic credentials are the charger's; no stored key means no question."""
    if not known.auth_key_hash:
        return
    credentials = basic_credentials(header(scope, b"authorization"))
    if credentials is None:
        raise Refused(401, "no_credentials", "Basic authorization is needed.")
    user, key = credentials
    if user != identity.encode():
        raise Refused(401, "wrong_user", "The user name must be the charger's identity.")
    if not is_key(key, known.auth_key_hash):
        raise Refused(401, "wrong_key", "The key is wrong.")


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


def is_key(presented: bytes, stored_hash: str) -> bool:
    """The key as we store it, or one of the forms chargers send it in.

    Stations decode a hexadecimal AuthorizationKey and send the bytes (OCPP security white paper); others change the
    case of its digits. All forms are always compared, so timing tells nothing.
    """
    forms = {presented, presented.hex().encode(), presented.hex().upper().encode()}
    if _HEXADECIMAL.fullmatch(presented):
        forms |= {presented.lower(), presented.upper()}
    return sum(crypto.matches(form, stored_hash, purpose=Charger.KEY_PURPOSE) for form in forms) > 0


def choose_subprotocol(offered: Sequence[str], allowed: Sequence[str]) -> str:
    """The first of the client's list that we speak and the record allows."""
    for name in offered:
        if name in DIALECTS and (not allowed or name in allowed):
            return name
    raise Refused(400, "no_subprotocol", f"Offer one of: {', '.join(DIALECTS)}.")


def address_of(scope: dict[str, Any]) -> str:
    """The client's address; what a trusted proxy says it is."""
    address = (scope.get("client") or ("",))[0]
    if address in settings.TRUSTED_PROXIES and (forwarded := header(scope, b"x-forwarded-for")):
        return forwarded.split(b",")[-1].strip().decode("latin-1")[:64]
    return address
