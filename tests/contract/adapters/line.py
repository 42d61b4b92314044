"""Where a peer is reached: counts what it is asked, answers rubbish when told to, goes away and comes back."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleetcharge.embedded.ports import random_free_port
from fleetcharge.lib.asgi import Receive, Scope, Send, read_body, send_bytes
from stations.tests.serving import serve

T = TypeVar("T")
BIG_CHUNK = b" " * 1024 * 1024
PATIENCE_SECONDS = 60.0
DRIP_SECONDS = 0.01
SLOW = {"silence": b"", "drip": b" "}


class Door:
    """An app whose calls are counted, those that came and those that are still under way."""

    def __init__(self, app: Any) -> None:
        self.app, self.asked, self.active = app, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked, self.active = self.asked + 1, self.active + 1
        try:
            await self.answer(scope, receive, send)
        finally:
            self.active -= 1

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Line(Door):
    """One address for an ASGI app.

    `breaks`: "" | "html" | "500" | "cut" (the answer breaks off) | "too much" | "silence" (the call is taken and never
    answered) | "drip" (a byte at a time, without end).
    """

    def __init__(self, app: Any, too_much_mb: int = 0) -> None:
        super().__init__(app)
        self.port, self.breaks, self.too_much_mb = random_free_port(), "", too_much_mb
        self._server: contextlib.ExitStack | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        if self._server is None:
            self._server = contextlib.ExitStack()
            self._server.enter_context(serve(self, self.port))

    def close(self) -> None:
        """Nobody listens there any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.breaks:
            await self.app(scope, receive, send)
            return
        await read_body(receive, 10_000_000)
        if self.breaks in SLOW:
            await self._answer_slowly(receive, send, SLOW[self.breaks])
        else:
            await getattr(self, f"_answer_{self.breaks.replace(' ', '_')}")(send)

    async def _answer_html(self, send: Send) -> None:
        await send_bytes(send, 200, b"<html><body>Under maintenance</body></html>", [(b"content-type", b"text/html")])

    async def _answer_500(self, send: Send) -> None:
        await send_bytes(send, 500, b"Internal Server Error")

    async def _answer_cut(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b'{"data": [', "more_body": False})

    async def _answer_too_much(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for _ in range(self.too_much_mb):
            await send({"type": "http.response.body", "body": BIG_CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answer_slowly(self, receive: Receive, send: Send, said: bytes) -> None:
        """Until whoever asked hangs up, or the line breaks no more."""
        if said:
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        hung_up = asyncio.ensure_future(receive())
        while self.breaks in SLOW and not hung_up.done():
            await asyncio.wait([hung_up], timeout=DRIP_SECONDS)
            if said and not hung_up.done():
                await send({"type": "http.response.body", "body": said, "more_body": True})


class Loop:
    """An event loop in a thread of its own, for servers and chargers that live beside the test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def close(self) -> None:
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
