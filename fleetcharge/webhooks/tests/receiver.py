"""An integrator's server on loopback: keeps what it is sent, answers as it is told."""

import asyncio
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from fleetcharge.lib.asgi import read_body, send_bytes


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """`drips`: the answer begins and never ends. `waits`: nothing is said before the event is set."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drips: bool = False
    waits: threading.Event | None = None


class Receiver:
    """An ASGI app. Every path answers 204 unless `answers[path]` holds something else; the last of them stays."""

    def __init__(self) -> None:
        self.base_url = ""
        self.received: list[Received] = []
        self.answers: dict[str, deque[Answer]] = defaultdict(deque)

    def url(self, path: str = "/in") -> str:
        return self.base_url + path

    def at(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    def will_answer(self, *answers: Answer, path: str = "/in") -> None:
        self.answers[path] = deque(answers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive, 1_000_000)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.received.append(Received(scope["path"], headers, body))
        answer = self._next(scope["path"])
        while answer.waits is not None and not answer.waits.is_set():
            await asyncio.sleep(0.01)
        named = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        if answer.drips:
            await self._drip(receive, send, answer.status)
        else:
            await send_bytes(send, answer.status, answer.body, named)

    def _next(self, path: str) -> Answer:
        told = self.answers[path]
        if not told:
            return Answer()
        return told.popleft() if len(told) > 1 else told[0]

    async def _drip(self, receive: Any, send: Any, status: int) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        is_left = asyncio.ensure_future(receive())
        while not is_left.done():
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.01)
