"""`make run`: the whole product comes up, heals, and goes; a second one is refused."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetcharge import serve
from fleetcharge.embedded import run
from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.ports import next_free_port, random_free_port
from fleetcharge.embedded.supervisor import Supervisor
from fleetcharge.embedded.tests.conftest import processes_naming, wait_for


class Run:
    """`make run` without the city, and what it prints."""

    def __init__(self, var: Path) -> None:
        clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
        ports = {"FLEETCHARGE_WEB_PORT": str(random_free_port()), "FLEETCHARGE_REALTIME_PORT": str(random_free_port())}
        own = {"FLEETCHARGE_VAR_DIR": str(var), "FLEETCHARGE_THROW_AWAY": "1", "FLEETCHARGE_DEMO": "0"}
        self.env = {**clean, **ports, **own, "FLEETCHARGE_STATIC_STORAGE": PLAIN_STORAGE}
        self.process = self.start()
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "fleetcharge.embedded.run"],
            cwd=CHECKOUT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def pid_of(self, name: str) -> int:
        """The last one it was seen with."""
        return int(re.findall(rf"^{name}: up \(pid (\d+)", self.text, re.MULTILINE)[-1])


PLAIN_STORAGE = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"  # compressing thousands of files is not the point
)


@pytest.fixture
def running(var: Path) -> Iterator[Run]:
    one = Run(var)
    yield one
    if one.process.poll() is None:
        one.process.terminate()
        one.process.wait(30)


def test_it_comes_up_heals_refuses_a_second_and_goes(running: Run, var: Path) -> None:
    wait_for(lambda: "FleetCharge is ready" in running.text or running.process.poll() is not None, within_s=90)
    url = f"http://127.0.0.1:{running.env['FLEETCHARGE_WEB_PORT']}/"
    assert f"Open       {url}" in running.text
    with urllib.request.urlopen(f"{url}healthz/") as answer:
        assert answer.status == 200

    second = running.start()
    assert f"FleetCharge is already running here: {url}" in second.communicate(timeout=20)[0]

    os.kill(running.pid_of("realtime"), signal.SIGKILL)
    wait_for(lambda: re.search(r"realtime: up \(pid \d+, start 2\)", running.text), within_s=30)
    os.kill(int((var / "postgres/data/postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    wait_for(lambda: re.search(r"postgres: up \(pid \d+, start 2\)", running.text), within_s=10)

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    wait_for(lambda: not processes_naming(str(var)))


def test_daphne_serves_the_same_application(var: Path) -> None:
    address = run.Address("127.0.0.1", random_free_port(), random_free_port())
    specs = [run._realtime(address, {"FLEETCHARGE_ASGI_SERVER": "daphne"})]
    assert "daphne" in serve.command(serve.arguments(specs[0].argv[3:]), specs[0].env)
    is_ready: list[bool] = []
    deadline = time.monotonic() + 60
    Supervisor(specs, var, lambda line: None).run(
        until=lambda: bool(is_ready) or time.monotonic() > deadline, on_ready=lambda: is_ready.append(True)
    )
    assert is_ready


def test_a_busy_port_is_stepped_over() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", random_free_port()))
        port = busy.getsockname()[1]
        assert next_free_port(port) > port
        assert next_free_port(port + 1, taken=frozenset({port + 1})) > port + 1


def test_an_old_sign_of_life_does_not_count(tmp_path: Path) -> None:
    sign = tmp_path / "worker.alive"
    is_alive: Callable[[], bool] = run.shows_life(sign, since=1_000.0)
    assert not is_alive()
    sign.touch()
    assert is_alive()
    os.utime(sign, (2_000, 2_000))
    assert not is_alive()


def test_the_ready_block_names_the_users(tmp_path: Path) -> None:
    users = '[{"email": "asha@example.in", "password": "let-me-in-42", "role": "dispatcher", "what": "the live map"}]'
    (tmp_path / "demo_users.json").write_text(users)
    block = run.ready_block(run.Address("0.0.0.0", 8000, 8001), tmp_path, 3.21, [])
    assert "Open       http://127.0.0.1:8000/" in block
    assert "Sign in    asha@example.in  let-me-in-42  dispatcher  the live map" in block
