"""Where pings come in: raw ASGI routes, because a Django view costs twenty times as much as the work itself."""

import logging
import time
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import (
    BodyTooLarge,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    retry_after,
    send_bytes,
    send_error,
    send_json,
)
from vehicles.decoders import osmand as osmand_decoder
from vehicles.decoders import pings as ping_decoder
from vehicles.decoders import traccar_client
from vehicles.decoders.pings import BadBody
from vehicles.fixes import LATE, Fix, Problem, is_device_id
from vehicles.intake import UNKNOWN_DEVICE, Verdict, accept, is_known
from vehicles.keys import KeyCache, Sender, presented_secret
from vehicles.telemetry import ACCEPTED

MAX_BODY_BYTES = 512 * 1024
REJECTED = b"x-ping-rejected"
RETRY_SOON = [(b"retry-after", b"1")]

logger = logging.getLogger(__name__)
keys = KeyCache()


class Refused(Exception):
    """The whole request is refused: HTTP status, code, detail, and the seconds to wait before another try."""

    def __init__(self, status: int, code: str, detail: str, wait_seconds: int = 0) -> None:
        super().__init__(detail)
        self.status, self.code, self.wait_seconds = status, code, wait_seconds


async def pings(scope: Scope, receive: Receive, send: Send) -> None:
    """`POST /ingest/v1/pings`: our JSON, one ping or up to 1,000; the fields are in decoders/pings.py."""
    try:
        if scope["path"].rstrip("/") != "/ingest/v1/pings":
            raise Refused(404, "not_found", "There is nothing at this address.")
        if scope["method"] != "POST":
            raise Refused(405, "method_not_allowed", "Send pings with POST.")
        sender = await _sender(scope)
        body = _plain(scope, await read_body(receive, MAX_BODY_BYTES))
        verdicts = await accept(_decode(scope, body), sender.organisation_id, body)
    except Exception as error:
        return await _answer_failure(send, error)
    return await send_json(send, 200, report(verdicts))


def report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The answer: how many were stored (and how many of those came late) or known, and each refused one by index."""
    if all(_is_plain(verdict) for verdict in verdicts):
        return {"accepted": len(verdicts), "duplicate": 0, "late": 0, "rejected": [], "warnings": []}
    accepted = [verdict for verdict in verdicts if not isinstance(verdict, Problem) and verdict[0] == ACCEPTED]
    rejected = [(i, verdict) for i, verdict in enumerate(verdicts) if isinstance(verdict, Problem)]
    warnings = [
        {"i": i, "code": verdict[1].warning}
        for i, verdict in enumerate(verdicts)
        if not isinstance(verdict, Problem) and verdict[1].warning
    ]
    return {
        "accepted": len(accepted),
        "duplicate": len(verdicts) - len(accepted) - len(rejected),
        "late": sum(1 for _, fix in accepted if fix.flags & LATE),
        "rejected": [{"i": i, "code": problem.code, "detail": problem.detail} for i, problem in rejected],
        "warnings": warnings,
    }


def _is_plain(verdict: Verdict) -> bool:
    """Stored, and nothing to say about it: nearly every ping."""
    return (
        not isinstance(verdict, Problem)
        and verdict[0] == ACCEPTED
        and not (verdict[1].flags & LATE or verdict[1].warning)
    )


async def _sender(scope: Scope) -> Sender:
    secret = presented_secret(scope)
    if not secret:
        raise Refused(401, "not_authenticated", "Send an API key as `Authorization: Bearer` or `X-API-Key`.")
    sender = await keys.find(secret)
    if sender is None and (seconds := await keys.count_wrong(address_of_scope(scope))):
        raise Refused(429, "throttled", "Too many wrong API keys from this address.", seconds)
    if sender is None:
        raise Refused(401, "invalid_key", "This API key is unknown, expired or revoked.")
    if not sender.may_send:
        raise Refused(403, "missing_scope", "This API key lacks the scope telemetry:write.")
    return sender


def _decode(scope: Scope, body: bytes) -> list[Fix | Problem]:
    if b"ndjson" in header(scope, b"content-type"):
        return ping_decoder.decode_lines(body)
    return ping_decoder.decode(body)


def _plain(scope: Scope, body: bytes) -> bytes:
    """The body as it was before gzip; the size limit holds for both."""
    encoding = header(scope, b"content-encoding")
    if encoding in (b"", b"identity"):
        return body
    if encoding != b"gzip":
        raise Refused(415, "unsupported_encoding", "Content-Encoding must be gzip or absent.")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, "bad_gzip", f"The body is not gzip: {error}") from error
    if len(plain) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"body is larger than {MAX_BODY_BYTES} bytes when unpacked")
    if not unpacker.eof:
        raise Refused(400, "bad_gzip", "The gzip body ends too early.")
    return plain


async def _answer_failure(send: Send, error: Exception) -> None:
    """Our error shape; whatever we could not store is answered 503, so the sender keeps it and tries again."""
    if isinstance(error, Refused):
        body = {"detail": str(error), "code": error.code}
        await send_json(send, error.status, body, retry_after(error.wait_seconds))
    elif isinstance(error, BodyTooLarge):
        await send_error(send, 413, "too_large", str(error))
    elif isinstance(error, BadBody):
        await send_error(send, 413 if error.code == "too_many" else 400, error.code, str(error))
    else:
        logger.warning("pings not stored: %s: %s", type(error).__name__, error)
        body = {"detail": "Not stored, please send it again.", "code": "unavailable"}
        await send_json(send, 503, body, RETRY_SOON)


async def osmand(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ingest/osmand`: Traccar Client and OsmAnd, unchanged apps. The device's id is the credential.

    Answers 200 with an empty body, 400 with our error body when the device is unknown or the message broken. A ping
    that is readable but refused (too old, impossible place) is answered 200 with a header: the app would repeat it for
    ever and never send what is queued behind it.
    """
    try:
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "method_not_allowed", "Use GET or POST.")
        body = _plain(scope, await read_body(receive, MAX_BODY_BYTES))
        device, decoded = _decode_app(scope, body)
        if not is_device_id(device):
            raise Refused(400, "invalid", "`id` is missing, not printable or longer than 64 characters.")
        if not await is_known(device, body or scope["query_string"]):
            raise Refused(400, *UNKNOWN_DEVICE)
        verdicts = await accept(decoded, None, body or scope["query_string"])
        problems = [verdict for verdict in verdicts if isinstance(verdict, Problem)]
        if broken := next((problem for problem in problems if problem.code == "invalid"), None):
            raise Refused(400, *broken)
    except Exception as error:
        return await _answer_failure(send, error)
    return await send_bytes(send, 200, b"", [(REJECTED, problem.code.encode()) for problem in problems[:1]])


def _decode_app(scope: Scope, body: bytes) -> tuple[str, list[Fix | Problem]]:
    """The device and its pings, from JSON or from query and form together."""
    if b"json" in header(scope, b"content-type"):
        return traccar_client.decode(body)
    query, form = (parse_qsl(part.decode("utf-8", "replace")) for part in (scope["query_string"], body))
    fields = {**dict(form), **dict(query)}
    fix = osmand_decoder.decode(fields, time.time_ns() // 1000)
    return osmand_decoder.device_of(fields), [] if fix is None else [fix]


http_routes: list[tuple[str, Any]] = [("/ingest/v1/pings", pings), ("/ingest/osmand", osmand)]
