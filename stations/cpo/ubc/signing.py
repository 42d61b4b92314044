"""Beckn signatures: Ed25519 over a signing string with the BLAKE-512 digest of the raw body. Pure, knows no clock."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HEADERS = "(created) (expires) digest"
ACK_HEADERS = "(created) (expires) digest (request-digest) (message-id)"
CLOCKS_DIFFER_SECONDS = 60
LONGEST_LIFE_SECONDS = 24 * 3600
MAX_HEADER = 2000
_PART = re.compile(r'(\w+)="([^"]*)"')


class BadSignature(Exception):
    """Why a signature is not believed; `code` is ours."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True)
class Signature:
    """What stands in an Authorization header; `created` and `expires` are seconds since 1970."""

    subscriber_id: str
    key_id: str
    created: int
    expires: int
    value: bytes


def digest_of(body: bytes) -> str:
    """BLAKE2b with 64 bytes of output (Beckn calls it BLAKE-512), base64."""
    return base64.b64encode(hashlib.blake2b(body, digest_size=64).digest()).decode()


def signing_string(body: bytes, created: int, expires: int) -> bytes:
    """Three lines joined by LF, no LF at the end (Beckn "Signing Beckn APIs in HTTP")."""
    return f"(created): {created}\n(expires): {expires}\ndigest: BLAKE-512={digest_of(body)}".encode()


def ack_string(ack: bytes, created: int, expires: int, *, request: bytes, message_id: str) -> bytes:
    """What a Beckn 2.0 LTS Ack signs: the Ack, and the request it answers."""
    lines = [signing_string(ack, created, expires).decode(), f"(request-digest): BLAKE-512={digest_of(request)}"]
    return "\n".join([*lines, f"(message-id): {message_id}"]).encode()


def sign(body: bytes, *, subscriber_id: str, key_id: str, seed: str, created: int, expires: int) -> str:
    """The Authorization header for these bytes; `seed` is base64 of 32 bytes, or of 64 with the public key behind."""
    signature = _private(seed).sign(signing_string(body, created, expires))
    return _header(subscriber_id, key_id, created, expires, HEADERS, signature)


def sign_ack(
    ack: bytes, *, request: bytes, message_id: str, subscriber_id: str, key_id: str, seed: str, created: int,
    expires: int,
) -> str:  # fmt: skip
    """The counter-signature of an Ack (Beckn 2.0 LTS)."""
    line = ack_string(ack, created, expires, request=request, message_id=message_id)
    return _header(subscriber_id, key_id, created, expires, ACK_HEADERS, _private(seed).sign(line))


def _header(subscriber_id: str, key_id: str, created: int, expires: int, headers: str, signature: bytes) -> str:
    return (
        f'Signature keyId="{subscriber_id}|{key_id}|ed25519",algorithm="ed25519",created="{created}",'
        f'expires="{expires}",headers="{headers}",signature="{base64.b64encode(signature).decode()}"'
    )


def read(header: str) -> Signature:
    """The parts of an Authorization header. Raises BadSignature: no_signature, bad_header, wrong_algorithm."""
    kind, _, rest = header.strip().partition(" ")
    if kind.lower() != "signature" or not rest:
        raise BadSignature("no_signature", "There is no Signature in the Authorization header.")
    parts = dict(_PART.findall(rest[:MAX_HEADER]))
    subscriber_id, key_id, algorithm = [*parts.get("keyId", "").split("|"), "", "", ""][:3]
    if not (subscriber_id and key_id) or max(len(subscriber_id), len(key_id)) > 120:
        raise BadSignature("bad_header", "keyId is subscriber|key|ed25519.")
    if algorithm.lower() != "ed25519" or parts.get("algorithm", "ed25519").lower() != "ed25519":
        raise BadSignature("wrong_algorithm", f"Only ed25519 is taken, not {algorithm[:20]}.")
    if parts.get("headers", HEADERS).split() != HEADERS.split():
        raise BadSignature("bad_header", f"headers must be {HEADERS!r}.")
    try:
        value = base64.b64decode(parts.get("signature", ""), validate=True)
        return Signature(subscriber_id, key_id, _instant(parts, "created"), _instant(parts, "expires"), value)
    except (ValueError, binascii.Error):
        raise BadSignature("bad_header", "created and expires are seconds, signature is base64.") from None


def _instant(parts: dict[str, str], name: str) -> int:
    text = parts.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise ValueError(name)
    return int(text)


def check_window(signature: Signature, now: float) -> None:
    """Within its own time, and that time is not endless. Raises BadSignature: not_yet_valid, expired, lives_too_long.

    A minute of difference between clocks is forgiven.
    """
    if signature.created > now + CLOCKS_DIFFER_SECONDS:
        raise BadSignature("not_yet_valid", "The signature was created in the future.")
    if signature.expires < now - CLOCKS_DIFFER_SECONDS:
        raise BadSignature("expired", "The signature has expired.")
    if not 0 <= signature.expires - signature.created <= LONGEST_LIFE_SECONDS:
        raise BadSignature("lives_too_long", "A signature lives a day at most.")


def verify(body: bytes, signature: Signature, public_key: str) -> None:
    """Raises BadSignature: wrong_signature (also for a key that is none)."""
    try:
        _public(public_key).verify(signature.value, signing_string(body, signature.created, signature.expires))
    except (InvalidSignature, ValueError, binascii.Error):
        raise BadSignature("wrong_signature", "The signature does not fit the body.") from None


def new_key_pair() -> tuple[str, str]:
    """(seed, public key), both base64 of 32 bytes."""
    key = Ed25519PrivateKey.generate()
    raw, none = serialization.Encoding.Raw, serialization.NoEncryption()
    seed = key.private_bytes(raw, serialization.PrivateFormat.Raw, none)
    return base64.b64encode(seed).decode(), _text(key.public_key())


def public_of(seed: str) -> str:
    """The public key that goes into the registry."""
    return _text(_private(seed).public_key())


def _text(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _private(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed)[:32])


def _public(text: str) -> Ed25519PublicKey:
    """32 raw bytes, or DER (SubjectPublicKeyInfo), whose last 32 bytes they are."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) not in (32, 44):
        raise ValueError("not an Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(raw[-32:])
