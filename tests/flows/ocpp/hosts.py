"""A second host on one machine: a network namespace whose only cable is a veth pair, which a test can pull out."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from tests.running import RealtimeNode, RunningSystem

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def is_possible() -> bool:
    """Root, iproute2, and a kernel that lets us."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    name = f"fcprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made.returncode == 0


class OtherHost:
    """`node` is a realtime process over there; database and Valkey stay here, behind the cable."""

    def __init__(self, system: RunningSystem, database_url: str, redis_url: str) -> None:
        number = os.getpid() % 200
        self.name, self.cable = f"fc{os.getpid()}", f"fcv{os.getpid()}"
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"
        self._lay_cable()
        self._doors = _Doors(self.here, *_postgres(database_url), _valkey(redis_url))
        try:
            settings = {
                "DATABASE_URL": self._doors.database_url(database_url),
                "REDIS_URL": self._doors.redis_url(redis_url),
                "FLEETCHARGE_ALLOWED_HOSTS": self.there,
            }
            self.node = RealtimeNode(system, host=self.there, prefix=("ip", "netns", "exec", self.name), **settings)
        except BaseException:
            self.remove()
            raise

    def _lay_cable(self) -> None:
        far = f"{self.cable}x"
        _ip("netns", "add", self.name)
        _ip("link", "add", self.cable, "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "netns", self.name)
        _ip("addr", "add", f"{self.here}/30", "dev", self.cable)
        _ip("link", "set", self.cable, "up")
        inside = ("netns", "exec", self.name, "ip")
        _ip(*inside, "addr", "add", f"{self.there}/30", "dev", far)
        _ip(*inside, "link", "set", far, "up")
        _ip(*inside, "link", "set", "lo", "up")

    def pull_the_cable(self) -> None:
        _ip("link", "set", self.cable, "down")

    def plug_the_cable(self) -> None:
        _ip("link", "set", self.cable, "up")

    def remove(self) -> None:
        if hasattr(self, "node"):
            self.node.stop()
        self._doors.close()
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self.cable)
        _ip("netns", "del", self.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _postgres(url: str) -> tuple[str, int]:
    """Folder of the socket, or host name; and the port."""
    parts = conninfo_to_dict(url)
    return str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432)


def _valkey(url: str) -> int:
    return int(urlsplit(url).port or 6379)


class _Doors:
    """Two TCP ports at our end of the cable that lead to the database and to Valkey; a thread of its own."""

    def __init__(self, address: str, postgres_host: str, postgres_port: int, valkey_port: int) -> None:
        self._address = address

        async def postgres() -> Streams:
            if postgres_host.startswith("/"):
                return await asyncio.open_unix_connection(f"{postgres_host}/.s.PGSQL.{postgres_port}")
            return await asyncio.open_connection(postgres_host, postgres_port)

        async def valkey() -> Streams:
            return await asyncio.open_connection("127.0.0.1", valkey_port)

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._postgres_port = self._open(postgres)
        self._valkey_port = self._open(valkey)

    def _open(self, dial: Callable[[], Coroutine[Any, Any, Streams]]) -> int:
        async def serve() -> int:
            async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                far_reader, far_writer = await dial()
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

            server = await asyncio.start_server(join, self._address, 0)
            return int(server.sockets[0].getsockname()[1])

        return asyncio.run_coroutine_threadsafe(serve(), self._loop).result(10)

    def database_url(self, url: str) -> str:
        parts = conninfo_to_dict(url)
        login = f"{parts['user']}:{parts.get('password') or ''}"
        return f"postgresql://{login}@{self._address}:{self._postgres_port}/{parts['dbname']}"

    def redis_url(self, url: str) -> str:
        parts = urlsplit(url)
        login = f":{parts.password}@" if parts.password else ""
        return f"redis://{login}{self._address}:{self._valkey_port}{parts.path}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
