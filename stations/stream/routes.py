"""`/api/v1/stream/`: live status as Server-Sent Events and, at the same address, as a WebSocket."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import psycopg
from rest_framework.exceptions import ValidationError

from fleetcharge.accounts import raw, throttling
from fleetcharge.accounts.models import Scope
from fleetcharge.lib import asgi
from fleetcharge.lib.addresses import address_of_scope
from fleetcharge.lib.api import exception_handler
from fleetcharge.lib.threads import DatabaseThreads
from stations import changes
from stations.stream.hub import Batch, Listener, hub
from stations.stream.query import hears, query_of

PATH = "/api/v1/stream/"
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 60.0
MAX_STREAMS = 50  # of one fleet in one process
PROTOCOL = "fleetcharge.v1"

logger = logging.getLogger(__name__)
threads = DatabaseThreads("stream-keys", threads=1)


class Refused(Exception):
    """HTTP status, our error body, seconds to wait."""

    def __init__(self, status: int, code: str, detail: str, *, fields: Any = None, wait_seconds: int = 0) -> None:
        super().__init__(detail)
        self.status, self.wait_seconds = status, wait_seconds
        self.body: dict[str, Any] = {"detail": detail, "code": code, **({"fields": fields} if fields else {})}


class Stream:
    """One client: who it is, what it hears, and the messages it gets."""

    def __init__(self, caller: raw.Caller, query: dict[str, Any]) -> None:
        self.caller, self.cursor = caller, query.get("cursor", "")
        self.hub = hub()
        self.listener = Listener(hears(query, caller.organisation_id), caller.key_id, caller.organisation_id)

    async def messages(self) -> AsyncGenerator[tuple[str, str, bytes], None]:
        """(kind, cursor to go on from, JSON) until the client is too slow, its key is taken back, or we stop."""
        begin = await self.hub.join(self.listener)
        try:
            async for message in self._beginning(begin):
                yield message
            loop = asyncio.get_running_loop()
            checked_at = loop.time()
            while True:
                batch = await self._next(begin)
                if batch is None:
                    return
                yield _message("status", batch) if batch.changes else _message("heartbeat", batch)
                if loop.time() - checked_at > RECHECK_SECONDS:
                    checked_at = loop.time()
                    if not await threads.run(raw.is_live, self.caller.key_id):
                        return
        finally:
            self.hub.leave(self.listener)

    async def _beginning(self, begin: str) -> AsyncIterator[tuple[str, str, bytes]]:
        """Where the stream begins, with what was missed since the client's cursor."""
        if not self.cursor:
            yield _note("ready", begin)
            return
        if changes.is_of_the_future(self.cursor, begin):
            yield _note("reset", begin, b',"why":"unknown_cursor"')
            return
        missed = await self.hub.missed(self.cursor, begin)
        if missed is None:
            yield _note("reset", begin, b',"why":"too_old"')
            return
        yield _note("ready", self.cursor)
        if heard := tuple(filter(self.listener.hears, missed)):
            yield _message("status", Batch(begin, heard))

    async def _next(self, begin: str) -> Batch | None:
        """The next batch; an empty one after a while, so that a quiet client resumes where we are."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await self.listener.waiting.get()
        except TimeoutError:
            return Batch(self.hub.cursor or begin, ())


def _message(kind: str, batch: Batch) -> tuple[str, str, bytes]:
    listed = b",".join(change.body for change in batch.changes)
    return _note(kind, batch.cursor, b',"changes":[' + listed + b"]" if kind == "status" else b"")


def _note(kind: str, cursor: str, more: bytes = b"") -> tuple[str, str, bytes]:
    return kind, cursor, b'{"type":"%s","cursor":"%s"%s}' % (kind.encode(), cursor.encode(), more)


# --- who asks -----------------------------------------------------------------------------------------------------
async def _opened(scope: asgi.Scope, secret: str) -> Stream:
    if scope["path"] != PATH:
        raise Refused(404, "not_found", "There is nothing at this address.")
    if not secret:
        raise Refused(401, "not_authenticated", "Send an API key as `Authorization: Bearer` or `X-API-Key`.")
    caller = await threads.run(raw.find_caller, secret)
    if caller is None:
        seconds = await threads.run(throttling.wrong_credential, "wrong-key", address_of_scope(scope))
        if seconds:
            raise Refused(429, "throttled", "Too many wrong API keys from this address.", wait_seconds=seconds)
        raise Refused(401, "invalid_key", "This API key is unknown, expired or revoked.")
    if Scope.STATIONS_READ not in caller.scopes:
        raise Refused(403, "missing_scope", "This API key lacks the scope stations:read.")
    if seconds := await threads.run(throttling.may_request, caller.key_id):
        raise Refused(429, "throttled", "This key asks too often.", wait_seconds=seconds)
    if hub().streams_of(caller.organisation_id) >= MAX_STREAMS:
        raise Refused(429, "too_many_streams", f"At most {MAX_STREAMS} streams at once.", wait_seconds=10)
    last_event_id = asgi.header(scope, b"last-event-id").decode("latin-1")
    try:
        return Stream(caller, query_of(scope["query_string"], last_event_id))
    except ValidationError as error:
        answer = exception_handler(error, {})
        body = answer.data if answer is not None else {}
        raise Refused(400, "invalid", body.get("detail", ""), fields=body.get("fields")) from error


# --- as Server-Sent Events ----------------------------------------------------------------------------------------
async def events(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """`GET`: an endless answer of `text/event-stream`."""
    try:
        if scope["method"] != "GET":
            raise Refused(405, "method_not_allowed", "Open the stream with GET.")
        stream = await _opened(scope, raw.presented_secret(scope))
        messages = stream.messages()
        first = await anext(messages)  # a database that is away is still told with a status
    except Refused as refusal:
        await asgi.send_json(send, refusal.status, refusal.body, asgi.retry_after(refusal.wait_seconds))
        return
    except (psycopg.Error, OSError):
        logger.warning("a stream could not begin", exc_info=True)
        body = {"detail": "Not just now; try again.", "code": "unavailable"}
        await asgi.send_json(send, 503, body, asgi.retry_after(2))
        return
    headers = [
        (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"retry: 2000\n\n" + _event(first), "more_body": True})
    await _both(_send_events(messages, send), _until_gone(receive))


async def _send_events(messages: AsyncGenerator[tuple[str, str, bytes], None], send: asgi.Send) -> None:
    async with contextlib.aclosing(messages):
        async for message in messages:
            await send({"type": "http.response.body", "body": _event(message), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(message: tuple[str, str, bytes]) -> bytes:
    kind, cursor, body = message
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), cursor.encode(), body)


async def _until_gone(receive: asgi.Receive) -> None:
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass


async def _both(sending: Any, listening: Any) -> None:
    """Until the stream ends or the client leaves; whoever is left is stopped."""
    tasks = {asyncio.create_task(sending), asyncio.create_task(listening)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for problem in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(problem, Exception) and not isinstance(problem, OSError):
                logger.warning("a status stream broke off: %r", problem)


# --- as a WebSocket -----------------------------------------------------------------------------------------------
CLOSE_CODES = {400: 4400, 401: 4401, 403: 4403, 404: 4404, 429: 4429}


async def socket(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """The same messages as texts. Browsers offer the key as second subprotocol, after `fleetcharge.v1`."""
    await receive()
    offered = scope.get("subprotocols") or []
    in_browser = offered[0] == PROTOCOL if offered else False
    secret = raw.presented_secret(scope) or (offered[1] if in_browser and len(offered) == 2 else "")
    await send({"type": "websocket.accept", **({"subprotocol": PROTOCOL} if in_browser else {})})
    try:
        stream = await _opened(scope, secret)
    except Refused as refusal:
        code = CLOSE_CODES[refusal.status]
        await send({"type": "websocket.close", "code": code, "reason": str(refusal)[:120]})
        return
    with contextlib.suppress(psycopg.Error):
        await _both(_send_texts(stream, send), _until_gone(receive))


async def _send_texts(stream: Stream, send: asgi.Send) -> None:
    async with contextlib.aclosing(stream.messages()) as messages:
        async for _, _, body in messages:
            await send({"type": "websocket.send", "text": body.decode()})
    await send({"type": "websocket.close", "code": 1012})  # come again, with your last cursor


http_routes = [(PATH, events)]
websocket_routes = [(PATH, socket)]
