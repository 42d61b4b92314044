"""What is raced: our endpoint with and without its database, a raw echo, and two well-known libraries."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from fleetcharge.embedded.ports import random_free_port
from fleetcharge.lib.tuning import tune_for_quick_answers

ROOT = Path(__file__).resolve().parent.parent.parent
STOCK_ECHO, ECHO, PLAIN, ROUTER, BARE, DURABLE = "stock_echo", "echo", "plain", "router", "bare", "durable"
PACKAGE, QUIET_PACKAGE, STORING_PACKAGE, NODE = "package", "quiet_package", "storing_package", "node"
PACKAGES = {PACKAGE: [], QUIET_PACKAGE: ["--quiet"], STORING_PACKAGE: ["--quiet", "--storing"]}  # with their options
TITLES = {
    STOCK_ECHO: "raw ASGI echo (floor)",
    ECHO: "raw echo, our protocol",
    PLAIN: "ours, codec and validation",
    ROUTER: "ours, no database",
    BARE: "ours, durable, no recorder",
    DURABLE: "ours, durable",
    PACKAGE: "`ocpp` package example",
    QUIET_PACKAGE: "same, writing no log",
    STORING_PACKAGE: "same, storing each message",
    NODE: "npm ocpp-rpc, strict",
}

CONNECTIONS = 10  # of the package's server that stores
_application: list[Any] = []


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least an ASGI server can do for an OCPP CALL: read its id, answer with nothing. On our protocol class."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "ocpp1.6"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        await send({"type": "websocket.send", "text": f"[3,{text[3 : text.index(',', 3)]},{{}}]"})


stock_echo = echo  # on uvicorn's own protocol class


async def durable(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint as it is."""
    if scope["type"] == "websocket":
        await _endpoint()(scope, receive, send)


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint without the flight recorder."""
    await durable(scope, receive, send)


async def plain(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint doing what the libraries' examples do: parse, validate, route, answer. The values are not read."""
    if scope["type"] == "websocket":
        endpoint = _endpoint(is_durable=False)
        from ocpp_bridge.consumers import MEANINGS

        reads_nothing: dict[str, Any] = {"MeterValues": lambda station, payload, received_at: ({}, None)}
        MEANINGS["ocpp1.6"] = dataclasses.replace(MEANINGS["ocpp1.6"], at_once=reads_nothing, readers={}, typed={})
        await endpoint(scope, receive, send)


async def router(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint with a batch writer that writes nothing: codec, validation, normaliser and batching remain."""
    if scope["type"] == "websocket":
        await _endpoint(is_durable=False)(scope, receive, send)


def _endpoint(*, is_durable: bool = True) -> Any:
    if not _application:
        import django

        django.setup()
        from ocpp_bridge import writers
        from ocpp_bridge.routing import websocket_routes

        if not is_durable:
            writers.meter_writer._write = _write_nothing
        tune_for_quick_answers()
        _application.append(websocket_routes[0][1])
    return _application[0]


async def _write_nothing(messages: Any) -> list[bool]:
    return [True] * len(messages)


Store = Callable[[dict[str, Any]], Awaitable[object]]


async def package_server(port: int, *, is_quiet: bool, is_storing: bool) -> None:
    """The `ocpp` package's own example (examples/v16/central_system.py): websockets, @on, validation, frames logged.

    The log is what it keeps of a frame, as the flight recorder is with us; it goes to /dev/null here. It stores
    nothing; `is_storing` adds what its users write next, an INSERT for each message before its answer.
    """
    import logging

    import websockets
    from ocpp.routing import on
    from ocpp.v16 import ChargePoint, call_result
    from ocpp.v16.enums import Action

    store = await _one_by_one() if is_storing else _store_nothing

    class Station(ChargePoint):  # type: ignore[misc]
        @on(Action.meter_values)  # type: ignore[untyped-decorator]
        async def on_meter_values(self, **fields: Any) -> Any:
            await store(fields)
            return call_result.MeterValues()

    if not is_quiet:
        logging.basicConfig(level=logging.INFO)

    async def connected(connection: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await Station(connection.request.path.strip("/"), connection).start()

    async with websockets.serve(
        connected, "127.0.0.1", port, subprotocols=[websockets.Subprotocol("ocpp1.6")], compression=None
    ):
        await asyncio.Future()


async def _store_nothing(fields: dict[str, Any]) -> None:
    """As the example."""


async def _one_by_one() -> Store:
    """One prepared INSERT and one commit for each message, on the next free of a few connections."""
    import django
    import orjson
    import psycopg

    django.setup()
    from fleetcharge.lib.db import conninfo

    free: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await psycopg.AsyncConnection.connect(conninfo(), autocommit=True))
    connection = await free.get()
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_message (id bigserial PRIMARY KEY, fields jsonb)")
    free.put_nowait(connection)

    async def store(fields: dict[str, Any]) -> None:
        connection = await free.get()
        try:
            values = [orjson.dumps(fields).decode()]
            await connection.execute("INSERT INTO bench_message (fields) VALUES (%s)", values, prepare=True)
        finally:
            free.put_nowait(connection)

    return store


NODE_SERVER = """
const { RPCServer } = require('ocpp-rpc');
const server = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true });
server.auth((accept) => accept({}));
server.on('client', (client) => { client.handle('MeterValues', () => ({})); });
server.listen(Number(process.argv[2]), '127.0.0.1');
"""
NODE_VERSION = "2.2.1"


def node_folder(var: Path) -> Path | str:
    """A folder with npm's ocpp-rpc in it, or why there is none."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not here"
    folder = var / "node"
    folder.mkdir(exist_ok=True)
    (folder / "server.js").write_text(NODE_SERVER)
    (folder / "package.json").write_text("{}")
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", f"ocpp-rpc@{NODE_VERSION}"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return folder if done.returncode == 0 else "npm could not install ocpp-rpc"


@contextlib.contextmanager
def serving(name: str, *, core: int, folder: Path | None = None) -> Iterator[tuple[int, int]]:
    """One server pinned to one core; yields (port, pid)."""
    port = random_free_port()
    with running(_command(name, port), port, core=core, folder=folder, env=_environment(name)) as pid:
        yield port, pid


def _environment(name: str) -> dict[str, str]:
    unlimited = {"FLEETCHARGE_OCPP_MESSAGES_PER_SECOND": "1000000", "FLEETCHARGE_OCPP_MESSAGES_BURST": "1000000"}
    recorder = {} if name == DURABLE else {"FLEETCHARGE_OCPP_RECORD_DAYS": "0"}
    return unlimited | recorder


@contextlib.contextmanager
def serving_web(*, core: int) -> Iterator[int]:
    """The web process as production starts it; yields its port."""
    port = random_free_port()
    argv = [sys.executable, "-m", "fleetcharge.serve", "web", "--port", str(port)]
    with running(argv, port, core=core, env={"FLEETCHARGE_API_RATE": "1000000/min"}):
        yield port


@contextlib.contextmanager
def running(argv: list[str], port: int, *, core: int, env: dict[str, str], folder: Path | None = None) -> Iterator[int]:
    process = subprocess.Popen(
        argv,
        cwd=folder or ROOT,
        env=os.environ | env,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _command(name: str, port: int) -> list[str]:
    if name == NODE:
        return ["node", "server.js", str(port)]
    if name in PACKAGES:
        return [sys.executable, "-m", "bench.ocpp", "--package-on", str(port), *PACKAGES[name]]
    protocol = "websockets-sansio" if name == STOCK_ECHO else "fleetcharge.lib.sockets:LeanWebSocketProtocol"
    return [
        sys.executable, "-m", "uvicorn", f"bench.ocpp.servers:{name}", "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "error", "--loop", "uvloop", "--ws", protocol, "--lifespan", "off",
        "--ws-per-message-deflate", "false", "--backlog", "8192", "--timeout-graceful-shutdown", "20",
    ]  # fmt: skip


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
