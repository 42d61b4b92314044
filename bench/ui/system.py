"""The two servers as they run in production, on engines of their own, and the pages' files collected."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 90
SERVED = "bench.ui.served:application"
ALL_SPRITES = "FLEETCHARGE_BENCH_ALL_SPRITES"


@dataclass(frozen=True)
class System:
    """Where to ask."""

    web_port: int
    realtime_port: int
    realtime_pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"


@contextlib.contextmanager
def running(*, are_all_sprites: bool = False, core: int | None = None) -> Iterator[System]:
    """Web and realtime process. `are_all_sprites`: nothing is told in cells, however much is in view."""
    from fleetcharge.embedded.ports import random_free_port

    web, realtime = random_free_port(), random_free_port()
    env = os.environ | {"FLEETCHARGE_WEB_PORT": str(web), "FLEETCHARGE_REALTIME_PORT": str(realtime)}
    env |= {ALL_SPRITES: "1" if are_all_sprites else ""}
    servers = [_start("web", web, env, core, None), _start("realtime", realtime, env, core, SERVED)]
    try:
        for port, server in ((web, servers[0]), (realtime, servers[1])):
            _wait_for(port, server)
        yield System(web, realtime, servers[1].pid)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            _wait_or_kill(server)


def _start(
    name: str, port: int, env: dict[str, str], core: int | None, application: str | None
) -> "subprocess.Popen[bytes]":
    """With the flags of production; only the application may be another."""
    from fleetcharge import serve

    command = serve.command(serve.arguments([name, "--port", str(port)]), env)
    if application:
        command = [*command[:-1], application]
    pinned = {} if core is None else {"preexec_fn": lambda: os.sched_setaffinity(0, {core})}
    return subprocess.Popen(command, cwd=ROOT, env=env, **pinned)  # type: ignore[call-overload,no-any-return]


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"no server on port {port}: {' '.join(map(str, server.args))}")  # type: ignore[arg-type]
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _wait_or_kill(server: "subprocess.Popen[bytes]") -> None:
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def prepare(var: Path) -> None:
    """Engines in `var`, tables, files with their hashes, all of it gone with the folder. Django is set up after it."""
    for variable in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
        os.environ.pop(variable, None)
    os.environ |= {
        "FLEETCHARGE_VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "fleetcharge.settings", "FLEETCHARGE_DEMO": "0",
        "FLEETCHARGE_LOG_LEVEL": "ERROR", "FLEETCHARGE_API_RATE": "1000000/min", "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
    }  # fmt: skip
    from fleetcharge.embedded import provide_engines

    provide_engines()
    subprocess.run([sys.executable, "-m", "fleetcharge.embedded.prepare"], cwd=ROOT, check=True)
    import django

    django.setup()
