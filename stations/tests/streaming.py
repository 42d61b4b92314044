"""The stream behind a real server, and clients of both kinds that keep what they heard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import uvicorn
import websockets
from asgiref.sync import sync_to_async
from django.db import connections

from stations.stream import routes
from stations.stream.hub import hub
from stations.tests.serving import _listen
from tests.prompt_server import PromptServer


def in_thread(function: Callable[..., Any]) -> Any:
    """Run in a thread of its own, whose connection is closed afterwards: its transactions are real ones."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return sync_to_async(call, thread_sensitive=False)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    await (routes.socket if scope["type"] == "websocket" else routes.events)(scope, receive, send)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Yields the stream's address over http."""
    listener = _listen(0)
    server = PromptServer(uvicorn.Config(
        _application, ws="fleetcharge.lib.sockets:LeanWebSocketProtocol", lifespan="off", log_level="warning",
        http="fleetcharge.lib.patience:ImpatientProtocol",
    ))  # fmt: skip
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{routes.PATH}"
    finally:
        await hub().close()
        hub().is_closing = False
        server.leave()
        await task
        routes.threads.close()


class Client:
    """What one client heard; `cursor` is what it would resume with."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_over = False
        self._news = asyncio.Event()

    @property
    def cursor(self) -> str:
        return str(self.messages[-1]["cursor"])

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [change for message in self.messages for change in message.get("changes", ())]

    @property
    def heard(self) -> list[tuple[str, str]]:
        return [(change["station"], change["status"]) for change in self.changes]

    def take(self, text: str | bytes) -> None:
        self.messages.append(orjson.loads(text))
        self._news.set()

    def over(self) -> None:
        self.is_over = True
        self._news.set()

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def over_sse(address: str, key: str, query: str = "", cursor: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": cursor} if cursor else {})
    client = Client()
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", f"{address}?{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        reader = asyncio.create_task(_read_events(answer, client))
        try:
            yield client
        finally:
            reader.cancel()


async def _read_events(answer: httpx.Response, client: Client) -> None:
    """As a browser's EventSource reads: `id` is what it sends as Last-Event-ID."""
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            message = orjson.loads(event["data"])
            assert (message["type"], message["cursor"]) == (event["event"], event["id"])
            client.take(event["data"])
            event = {}
        else:
            event = {}
    client.over()


@contextlib.asynccontextmanager
async def over_websocket(address: str, key: str, query: str = "", cursor: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": cursor} if cursor else {})
    client = Client()
    async with websockets.connect(
        f"{address.replace('http', 'ws', 1)}?{query}", additional_headers=headers, open_timeout=60
    ) as socket:
        reader = asyncio.create_task(_read_texts(socket, client))
        try:
            yield client
        finally:
            reader.cancel()


async def _read_texts(socket: Any, client: Client) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for text in socket:
            client.take(text)
    client.over()
