"""What every HTTP door shares: a bounded body, who sends it, and an answer when it goes wrong."""

import logging
import zlib

from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.asgi import (
    BodyTooLarge,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    retry_after,
    send_error,
    send_json,
)
from vehicles.decoders.pings import BadBody
from vehicles.keys import KeyCache, Sender, presented_secret

MAX_BODY_BYTES = 512 * 1024
RETRY_SOON = [(b"retry-after", b"1")]

logger = logging.getLogger(__name__)
keys = KeyCache()


class Refused(Exception):
    """The whole request is refused: HTTP status, code, detail, and the seconds to wait before another try."""

    def __init__(self, status: int, code: str, detail: str, wait_seconds: int = 0) -> None:
        super().__init__(detail)
        self.status, self.code, self.wait_seconds = status, code, wait_seconds


async def body_of(scope: Scope, receive: Receive) -> bytes:
    """The body without its gzip; raises BodyTooLarge and Refused."""
    return plain(scope, await read_body(receive, MAX_BODY_BYTES))


async def sender_of(scope: Scope) -> Sender:
    """Whose API key came with the request; raises Refused unless it may send telemetry."""
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


def plain(scope: Scope, body: bytes) -> bytes:
    """The body as it was before gzip; the size limit holds for both."""
    encoding = header(scope, b"content-encoding")
    if encoding in (b"", b"identity"):
        return body
    if encoding != b"gzip":
        raise Refused(415, "unsupported_encoding", "Content-Encoding must be gzip or absent.")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, "bad_gzip", f"The body is not gzip: {error}") from error
    if len(unpacked) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"body is larger than {MAX_BODY_BYTES} bytes when unpacked")
    if not unpacker.eof:
        raise Refused(400, "bad_gzip", "The gzip body ends too early.")
    return unpacked


async def answer_failure(send: Send, error: Exception) -> None:
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
