"""`make run`: the whole product comes up, heals, and goes; a second one is refused."""

import http.server
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
from typing import Any

import pytest
from django.test import Client

from fleetcharge import serve
from fleetcharge.embedded import run
from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.ports import next_free_port, random_free_port
from fleetcharge.embedded.supervisor import TRIES, Supervisor
from fleetcharge.embedded.tests.conftest import processes_naming, wait_for
from tests.running import port_of_our_own


class Run:
    """`make run` without the city, and what it prints."""

    def __init__(self, var: Path) -> None:
        clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
        ports = {"FLEETCHARGE_WEB_PORT": str(port_of_our_own()), "FLEETCHARGE_REALTIME_PORT": str(port_of_our_own())}
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
        one.process.wait(120)


def test_it_comes_up_heals_refuses_a_second_and_goes(running: Run, var: Path) -> None:
    wait_for(lambda: "FleetCharge is ready" in running.text or running.process.poll() is not None, within_s=300)
    url = f"http://127.0.0.1:{running.env['FLEETCHARGE_WEB_PORT']}/"
    assert f"Open       {url}" in running.text
    with urllib.request.urlopen(f"{url}healthz/") as answer:
        assert answer.status == 200
        assert len(answer.headers["FleetCharge-Run"]) == 16

    second = running.start()
    assert f"FleetCharge is already running here: {url}" in second.communicate(timeout=120)[0]

    os.kill(running.pid_of("realtime"), signal.SIGKILL)
    wait_for(lambda: re.search(r"realtime: up \(pid \d+, start 2\)", running.text), within_s=120)
    os.kill(int((var / "postgres/data/postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    wait_for(lambda: re.search(r"postgres: up \(pid \d+, start 2\)", running.text), within_s=120)

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(120) == 0
    wait_for(lambda: not processes_naming(str(var)))


def test_daphne_serves_the_same_application(var: Path) -> None:
    address = run.Address("127.0.0.1", port_of_our_own(), port_of_our_own())
    specs = [run._realtime(address, {"FLEETCHARGE_ASGI_SERVER": "daphne", "FLEETCHARGE_RUN_TOKEN": "ours"})]
    assert "daphne" in serve.command(serve.arguments(specs[0].argv[3:]), specs[0].env)
    is_ready: list[bool] = []
    deadline = time.monotonic() + 240
    Supervisor(specs, var, lambda line: None).run(
        until=lambda: bool(is_ready) or time.monotonic() > deadline, on_ready=lambda: is_ready.append(True)
    )
    assert is_ready


class Neighbour(http.server.BaseHTTPRequestHandler):
    """A server of another checkout, that was faster with the port."""

    status, run = 200, "theirs"

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.run:
            self.send_header("FleetCharge-Run", self.run)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "token", "is_ours"),
    [(200, "ours", True), (503, "ours", True), (400, "ours", True), (200, "theirs", False), (200, "", False)],
)
def test_only_our_own_server_answers_for_its_health(status: int, token: str, is_ours: bool) -> None:
    handler = type("Handler", (Neighbour,), {"status": status, "run": token})
    with http.server.HTTPServer(("127.0.0.1", random_free_port()), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check = run.answers(f"http://127.0.0.1:{server.server_port}/healthz/", "ours")
        assert check() is is_ours
        server.shutdown()
    assert check() is False


def test_two_starts_that_chose_the_same_port_are_never_both_ready(var: Path) -> None:
    """The second cannot bind; the first one's answer must not make it ready."""
    address = run.Address("127.0.0.1", port_of_our_own(), port_of_our_own())
    first, second = (
        Supervisor([run._realtime(address, {**os.environ, "FLEETCHARGE_RUN_TOKEN": name})], var / name, print)
        for name in ("first", "second")
    )
    ready: list[str] = []
    deadline = time.monotonic() + 240

    def beside() -> bool:
        """While the first one runs, the second one tries, and gives up."""
        if ready == ["first"]:
            name = f"port {address.realtime_port} meanwhile.*FLEETCHARGE_REALTIME_PORT"
            with pytest.raises(EngineError, match=name):
                second.run(until=lambda: time.monotonic() > deadline, on_ready=lambda: ready.append("second"))
            return True
        return time.monotonic() > deadline

    first.run(until=beside, on_ready=lambda: ready.append("first"))
    assert ready == ["first"]
    assert second.children[0].starts == TRIES
    assert "address already in use" in (var / "second" / "realtime.log").read_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "elsewhere.example"])
def test_the_token_is_echoed_by_every_answer_to_the_question_for_health_and_by_no_other(
    host: str, settings: Any, monkeypatch: pytest.MonkeyPatch, client: Client, db: None
) -> None:
    monkeypatch.setenv("FLEETCHARGE_RUN_TOKEN", "ours")
    settings.MIDDLEWARE = ["fleetcharge.run_token.run_token", *settings.MIDDLEWARE]
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    answer = client.get("/healthz/", headers={"host": host})
    assert (answer.status_code, answer.headers["FleetCharge-Run"]) == (200 if host == "127.0.0.1" else 400, "ours")
    assert "FleetCharge-Run" not in client.get("/login/", headers={"host": "127.0.0.1"}).headers


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
