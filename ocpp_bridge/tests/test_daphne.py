"""Daphne stays a supported server: the same socket there, with 403 for every refusal."""

import base64
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import websockets
from django.db import connection
from websockets.sync.client import ClientConnection, connect

from fleetcharge.accounts.models import Organisation
from ocpp_bridge.tests import factories
from stations.models import Connector
from tests.running import port_of_our_own

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = """
import django; django.setup()
from ocpp_bridge.routing import websocket_routes
application = websocket_routes[0][1]
"""


@pytest.fixture
def ping_seconds() -> int:
    """How often Daphne pings, and how long it waits for the pong."""
    return 60


@pytest.fixture
def daphne_port(transactional_db: None, tmp_path: Path, ping_seconds: int) -> Iterator[int]:
    """A Daphne process on the test database."""
    (tmp_path / "ocpp_only.py").write_text(APPLICATION)
    port, at = port_of_our_own(), connection.settings_dict
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "fleetcharge.settings",
        "DATABASE_URL": f"postgresql://{at['USER']}:{at['PASSWORD']}@/{at['NAME']}?host={at['HOST']}&port={at['PORT']}",
        "REDIS_URL": _redis_url(),
    }
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "ocpp_only:application"]
    command += ["--ping-interval", f"{ping_seconds}", "--ping-timeout", f"{ping_seconds}"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    pytest.fail("Daphne did not start")


def _redis_url() -> str:
    from django.conf import settings

    return str(settings.REDIS_URL)


def dial(port: int, identity: str, key: str) -> ClientConnection:
    header = base64.b64encode(f"{identity}:{key}".encode()).decode()
    return connect(
        f"ws://127.0.0.1:{port}/ocpp/{identity}",
        subprotocols=[websockets.Subprotocol("ocpp1.6")],
        additional_headers={"Authorization": f"Basic {header}"},
        open_timeout=60,
    )


def test_a_charger_on_daphne(daphne_port: int, organisation: Organisation) -> None:
    station = factories.charger(organisation, "DAPHNE-1")
    with pytest.raises(websockets.InvalidStatus) as refused:
        dial(daphne_port, "DAPHNE-1", "wrong")
    assert refused.value.response.status_code == 403
    with dial(daphne_port, "DAPHNE-1", factories.KEY) as charger:
        assert charger.subprotocol == "ocpp1.6"
        report = {"connectorId": 1, "errorCode": "NoError", "status": "Faulted"}
        charger.send(orjson.dumps([2, "s1", "StatusNotification", report]).decode())
        assert orjson.loads(charger.recv(timeout=60)) == [3, "s1", {}]
        assert Connector.objects.get(evse__charger=station, connector_id=1).status == "faulted"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        station.refresh_from_db()
        if not station.is_online:
            break
        time.sleep(0.05)
    assert not station.is_online


@pytest.mark.parametrize("ping_seconds", [1])
def test_a_half_open_socket_is_cleared_by_daphnes_ping(daphne_port: int, organisation: Organisation) -> None:
    station = factories.charger(organisation, "DAPHNE-2")
    basic = base64.b64encode(f"DAPHNE-2:{factories.KEY}".encode()).decode()
    head = (
        "GET /ocpp/DAPHNE-2 HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: ocpp1.6", f"Authorization: Basic {basic}",
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", daphne_port), 60) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode())
        assert b" 101 " in line.recv(4096)
        with contextlib.suppress(ConnectionResetError):
            while line.recv(4096):  # pings come, no pong goes back, and then the end
                pass
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        station.refresh_from_db()
        if not station.is_online:
            break
        time.sleep(0.05)
    assert not station.is_online
