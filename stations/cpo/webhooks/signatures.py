"""Was this push sent by who it says it was, and just now? Signature schemes as data. Pure.

A scheme is an algorithm and a template of what is signed, so that a vendor's own way is written down, not programmed.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

STATIC, ED25519 = "static", "ed25519"
DIGESTS = {"hmac-sha256": hashlib.sha256, "hmac-sha512": hashlib.sha512, "hmac-sha1": hashlib.sha1}
ALGORITHMS = (*DIGESTS, ED25519, STATIC)
PLACES = ("timestamp", "id", "method", "path", "body")
MAX_CANDIDATES = 10
PLACE = re.compile(r"\{(\w+)\}")
LABEL = re.compile(r"^(?:v\d+|sha-?\d+|s|sig|signature)=")
INLINE_TIME = re.compile(r"(?:^|[,;\s])t=(\d{9,14})(?=$|[,;\s])")
MILLISECONDS_FROM = 100_000_000_000  # as seconds that is the year 5138


class BadSignature(Exception):
    """The push is not believed; `code` is ours, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Scheme:
    """`signed` names what the signature covers, as `{timestamp}.{body}`; a static key covers nothing.

    Header names are lower case. `window` is how far a signed time may lie from ours, either way.
    """

    algorithm: str = "hmac-sha256"
    signed: str = "{body}"
    signature_header: str = "x-signature"
    timestamp_header: str = ""
    id_header: str = ""
    window: timedelta = timedelta(minutes=5)

    @property
    def covers(self) -> frozenset[str]:
        return frozenset() if self.algorithm == STATIC else frozenset(PLACE.findall(self.signed))

    def problem(self) -> str:
        """What is wrong with the scheme itself; "" when it can be used."""
        if self.algorithm not in ALGORITHMS:
            return f"{self.algorithm} is none of {', '.join(ALGORITHMS)}."
        if self.algorithm == STATIC:
            return ""
        if strange := self.covers - set(PLACES):
            return f"{{{min(strange)}}} is none of {', '.join(PLACES)}."
        if "body" not in self.covers:
            return "A signature that does not cover {body} proves nothing about it."
        if "id" in self.covers and not self.id_header:
            return "{id} is signed: say which header it comes in."
        return ""


@dataclass(frozen=True)
class Signed:
    """What came over the wire; header names are lower case, `path` is as it was sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Proof:
    """What a good signature told us: which of the live secrets fits (0 is the newest), what else it covers."""

    secret_number: int
    event_id: str = ""
    sent_at: datetime | None = None
    covers: frozenset[str] = field(default=frozenset())


def verify(scheme: Scheme, secrets: Sequence[str], push: Signed, now: datetime) -> Proof:
    """Who signed these bytes, and when. Raises BadSignature; every comparison takes the same time."""
    presented = push.headers.get(scheme.signature_header, "").strip()
    if not presented:
        raise BadSignature("no_signature", f"The header {scheme.signature_header} is missing.")
    stamp = _stamp(scheme, push, presented)
    event_id = push.headers.get(scheme.id_header, "").strip() if scheme.id_header else ""
    if "id" in scheme.covers and not event_id:
        raise BadSignature("no_event_id", f"The header {scheme.id_header} is signed, and missing.")
    content = _content(scheme, push, stamp, event_id)
    number = next((n for n, secret in enumerate(secrets) if _fits(scheme, secret, presented, content)), None)
    if number is None:
        raise BadSignature("wrong_signature", "The signature does not fit the body and a secret of ours.")
    sent_at = _in_window(scheme, stamp, now) if "timestamp" in scheme.covers else None
    return Proof(number, event_id if "id" in scheme.covers else "", sent_at, scheme.covers)


def sign(scheme: Scheme, secret: str, push: Signed, *, stamp: str = "", event_id: str = "") -> str:
    """The HMAC of a push as hexadecimal text, for vendors of ours (simulators) and examples."""
    content = _content(scheme, push, stamp, event_id)
    return hmac.new(_key(secret), content, DIGESTS[scheme.algorithm]).hexdigest()


def instant(text: str) -> datetime | None:
    """Seconds or milliseconds since 1970, or ISO 8601 (no offset is UTC); None when it is neither."""
    text = text.strip()
    try:
        if re.fullmatch(r"-?\d{1,16}(?:\.\d{1,9})?", text):
            number = float(text)
            return datetime.fromtimestamp(number / 1000 if abs(number) >= MILLISECONDS_FROM else number, UTC)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def public_key(text: str) -> bytes:
    """32 bytes of an Ed25519 public key, given in hexadecimal or base64. Raises ValueError."""
    for decode in (bytes.fromhex, _from_base64):
        try:
            raw = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(raw) == 32:
            return raw
    raise ValueError("An Ed25519 public key is 32 bytes, in hexadecimal or base64.")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(texts: Sequence[str]) -> list[Network]:
    """Raises ValueError for what is neither an address nor a network."""
    return [ipaddress.ip_network(text.strip(), strict=False) for text in texts]


def is_from(address: str, allowed: Sequence[str]) -> bool:
    """The address is in one of the networks; anyone is when none are named."""
    if not allowed:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks_of(allowed))


def _stamp(scheme: Scheme, push: Signed, presented: str) -> str:
    """The time as it was sent: in its own header, or inside the signature's (`t=...,v1=...`)."""
    if "timestamp" not in scheme.covers:
        return ""
    inline = INLINE_TIME.search(presented)
    stamp = push.headers.get(scheme.timestamp_header, "").strip() if scheme.timestamp_header else ""
    stamp = stamp or (inline[1] if inline else "")
    if not stamp:
        raise BadSignature("no_timestamp", "The signature covers a time, and there is none.")
    return stamp


def _in_window(scheme: Scheme, stamp: str, now: datetime) -> datetime:
    sent_at = instant(stamp)
    if sent_at is None:
        raise BadSignature("no_timestamp", f"{stamp[:40]!r} is no time.")
    if abs(now - sent_at) > scheme.window:
        raise BadSignature("expired", f"Signed at {sent_at.isoformat()}, more than {scheme.window} from our clock.")
    return sent_at


def _content(scheme: Scheme, push: Signed, stamp: str, event_id: str) -> bytes:
    """The bytes that are signed: the template with its places filled, the body as it came."""
    texts = {"timestamp": stamp, "id": event_id, "method": push.method, "path": push.path}
    parts = PLACE.split(scheme.signed)  # text, place, text, place, ..., text
    return b"".join(
        part.encode() if index % 2 == 0 else push.body if part == "body" else texts.get(part, "").encode()
        for index, part in enumerate(parts)
    )


def _fits(scheme: Scheme, secret: str, presented: str, content: bytes) -> bool:
    if not secret:
        return False
    if scheme.algorithm == STATIC:
        return _is_key(secret, presented)
    candidates = _candidates(presented)
    if scheme.algorithm == ED25519:
        return any(_is_signed(secret, candidate, content) for candidate in candidates)
    digest = hmac.new(_key(secret), content, DIGESTS[scheme.algorithm]).digest()
    wanted = {digest.hex(), base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()}
    wanted |= {text.rstrip("=") for text in wanted}
    # A set of booleans, not any(): nobody learns from the time it takes which form came close.
    return True in [_same(given, right) for given in candidates for right in wanted]


def _candidates(presented: str) -> list[str]:
    """Each signature in the header, bare: `sha256=ab..`, `v1,Zm9v`, `t=1,v1=ab..`, and vendors that send two."""
    parts = [LABEL.sub("", part) for part in re.split(r"[,;\s]+", presented)[:MAX_CANDIDATES]]
    return [part for part in dict.fromkeys([*parts, *(part.lower() for part in parts)]) if len(part) >= 20]


def _is_key(secret: str, presented: str) -> bool:
    """The key itself, after `Bearer`, `Token` or the like, as it is or in base64 (as OCPI sends its tokens)."""
    bare = presented.split(" ", 1)[-1].strip()
    encoded = base64.b64encode(secret.encode()).decode()
    return True in [_same(given, right) for given in (presented, bare) for right in (secret, encoded)]


def _is_signed(key: str, candidate: str, content: bytes) -> bool:
    for decode in (bytes.fromhex, _from_base64):
        try:
            Ed25519PublicKey.from_public_bytes(public_key(key)).verify(decode(candidate), content)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _key(secret: str) -> bytes:
    """`whsec_...` is base64, as Standard Webhooks has it; anything else is taken as it is."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _from_base64(text: str) -> bytes:
    return base64.b64decode(
        text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None, validate=True
    )
