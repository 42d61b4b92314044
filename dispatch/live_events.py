"""The live channel without a WebSocket: the same socket, told as Server-Sent Events at the same address.

What a page says stands in the address, one `say` for each message; frames ride as base64. With `once=1` the answer ends
after the first whole picture, for pages that can only ask again and again.
"""

import asyncio
from base64 import b64encode
from collections import deque
from typing import Any
from urllib.parse import parse_qs

import orjson

from dispatch import doorkeeper, wire
from dispatch.consumers import MAX_TEXT_BYTES, LiveSocket, admit
from dispatch.hub import LiveHub, hub
from fleetcharge.lib import asgi

MAX_SAID = 8
OVER, GOING = 1000, 1012
RETRY_MS = 1000
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class LiveEvents(LiveSocket):
    """A socket that only tells. Nothing acknowledges a frame: it is as good as drawn once the network took it."""

    def __init__(self, guest: doorkeeper.Guest, the_hub: LiveHub, send: asgi.Send, *, is_once: bool) -> None:
        super().__init__(guest, the_hub, _speaking_http(send))
        self.is_once, self._has_told = is_once, set[str]()

    def take(self, frames: list[wire.Frame], now: float) -> None:
        super().take(frames, now)
        self._told("frames")

    def _tell(self, frames: list[wire.Frame], now: float) -> None:
        super()._tell(frames, now)
        self._unacked.clear()

    async def _replay_alerts(self, last_revision: int) -> None:
        await super()._replay_alerts(last_revision)
        self._told("alerts")

    def kpi(self, text: str) -> None:
        super().kpi(text)
        self._told("figures")

    def _told(self, what: str) -> None:
        """What is on its way already goes out before the end. Who has not said where it looks gets no frames."""
        self._has_told.add(what)
        due = {"alerts", "figures"} if self._place is None else {"alerts", "figures", "frames"}
        if self.is_once and self._has_told >= due:
            self.close(OVER, 0)


def _speaking_http(send: asgi.Send) -> asgi.Send:
    async def speak(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await send({"type": "http.response.body", "body": _event(message), "more_body": True})

    return speak


def _event(message: dict[str, Any]) -> bytes:
    """JSON as our encoder writes it, and base64, have no line breaks."""
    if (frame := message.get("bytes")) is not None:
        return b"event: frame\ndata: %s\n\n" % b64encode(frame)
    return b"data: %s\n\n" % message["text"].encode()


def _saying(texts: list[str], receive: asgi.Receive) -> asgi.Receive:
    """As if the page had said it over a socket; then nothing more until it is gone."""
    waiting = deque(texts)

    async def said() -> dict[str, Any]:
        if waiting:
            return {"type": "websocket.receive", "text": waiting.popleft()}
        while (await receive())["type"] != "http.disconnect":
            pass
        return {"type": "websocket.disconnect"}

    return said


async def live_events(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """ASGI application of `GET /ws/live/`. Refusals are told as `bye`: a page cannot read the status of a stream."""
    if not doorkeeper.is_known(scope["path"]):
        await asgi.send_error(send, 404, "not_found", "There is nothing at this address.")
        return
    if scope["method"] != "GET":
        await asgi.send_error(send, 405, "method_not_allowed", "Open the stream with GET.")
        return
    query = parse_qs(scope["query_string"].decode("latin-1")[: MAX_SAID * MAX_TEXT_BYTES])
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *_for_other_ports(scope)]})
    await _tell(scope, query, receive, send)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _tell(scope: asgi.Scope, query: dict[str, list[str]], receive: asgi.Receive, send: asgi.Send) -> None:
    the_hub = hub()
    guest = await admit(scope, the_hub, is_own=is_own_page(scope))
    if isinstance(guest, int):
        bye = {"type": "bye", "code": guest, "retry_ms": 0}
        await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(bye) + b"\n\n", "more_body": True})
        return
    await the_hub.prepare(guest.organisation_id)
    told = LiveEvents(guest, the_hub, send, is_once="once" in query)
    the_hub.listeners.add(told)
    try:
        await told.run(_saying(query.get("say", [])[:MAX_SAID], receive))
    finally:
        the_hub.let_go(told)


def is_own_page(scope: asgi.Scope) -> bool:
    """Browsers leave Origin out where page and stream have one address, and say with Sec-Fetch-Site whose page asks."""
    if asgi.header(scope, b"origin"):
        return doorkeeper.is_own_origin(scope)
    return asgi.header(scope, b"sec-fetch-site") in (b"", b"same-origin", b"same-site")


def _for_other_ports(scope: asgi.Scope) -> list[tuple[bytes, bytes]]:
    """The page may come from another port of this host."""
    origin = asgi.header(scope, b"origin")
    if not origin or not doorkeeper.is_own_origin(scope):
        return []
    return [
        (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"), (b"vary", b"Origin"),
    ]  # fmt: skip


async def close() -> None:
    """The process ends: answers without an end would keep it from that."""
    for listener in list(hub().listeners):
        if isinstance(listener, LiveEvents):
            listener.close(GOING, RETRY_MS)
    await asyncio.sleep(0)
