"""The simulated CPO as a program of its own, as the documentation tells to start it."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stations.cpo.ocpi.selftest import Probe
from tests.running import wait_for


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(params=["2.2.1", "2.3.0"])
def program(request: pytest.FixtureRequest, port: int) -> Iterator[tuple[str, str]]:
    """(its versions address, TOKEN_A), as it says them."""
    command = [sys.executable, "-m", "fleetcharge.demo.peers.ocpi", "--version", request.param, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = [running.stdout.readline().split()[1] for _ in range(2)]
        yield said[0], said[1]
        running.terminate()


def test_who_asks_it_for_a_handshake_finds_every_rule_kept(program: tuple[str, str], settings: object) -> None:
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True  # type: ignore[attr-defined]
    port = int(program[0].split(":")[2].split("/")[0])
    wait_for("the program", lambda: socket.create_connection(("127.0.0.1", port), 5).close() is None)
    findings = list(Probe(*program).run())
    assert [finding.rule for finding in findings if finding.is_good is False] == []
    assert sum(bool(finding.is_good) for finding in findings) > 20
