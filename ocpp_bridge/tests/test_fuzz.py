"""No frame ends a socket wrongly, leaves a readable id unanswered, or reaches a column it does not fit.

A few thousand frames run with every test; `OCPP_FUZZ_FRAMES=100000` makes it a soak.
"""

import asyncio
import base64
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from django.db import connections
from django.test import override_settings

from billing.services import meters
from fleetcharge.accounts.models import Organisation
from ocpp_bridge import answers, consumers, metrics, oddities, threads
from ocpp_bridge.hub import hub
from ocpp_bridge.recorder import recorder
from ocpp_bridge.tests import factories, fuzzing
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger

FRAMES = int(os.environ.get("OCPP_FUZZ_FRAMES", "3000"))
OVER_SOCKETS = 150
VERSIONS = sorted(fuzzing.REAL)


class Wire:
    """The ASGI side of a socket without the network: what goes in, what comes out, and whether it was closed."""

    def __init__(self, identity: str, subprotocol: str) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        basic = base64.b64encode(f"{identity}:{factories.KEY}".encode())
        path = f"/ocpp/{identity}"
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "client": ("127.0.0.1", 1), "scheme": "ws",
            "headers": [(b"authorization", b"Basic " + basic)], "subprotocols": [subprotocol], "extensions": {},
        }  # fmt: skip
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(consumers.ChargerConsumer.as_asgi()(scope, self._inbox.get, self.outbox.put))

    async def next(self) -> dict[str, Any]:
        """The next event; fails when the consumer has ended instead."""
        waiting = asyncio.ensure_future(self.outbox.get())
        async with asyncio.timeout(60):
            await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done(), f"the consumer ended: {self.task}"
        return waiting.result()

    async def say(self, text: str, until_id: str) -> list[list[Any]]:
        """Every frame that came back before the answer to `until_id`, a heartbeat said right after."""
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})
        beat = orjson.dumps([2, until_id, "Heartbeat", {}]).decode()
        self._inbox.put_nowait({"type": "websocket.receive", "text": beat})
        heard: list[list[Any]] = []
        while True:
            event = await self.next()
            assert event["type"] == "websocket.send", event
            frame = orjson.loads(event["text"])
            if frame[1] == until_id:
                return heard
            if frame[0] != 2:  # a question of ours stays unanswered: this charger only talks
                heard.append(frame)

    async def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await self.task


@pytest.fixture
async def quiet(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Malformed frames may come without end, and as fast as they like."""
    monkeypatch.setattr(consumers, "MALFORMED_PER_MINUTE", 10**9)
    monkeypatch.setattr(metrics.frames_dropped, "totals", {})
    with override_settings(OCPP_MESSAGES_PER_SECOND=0):
        yield
        await recorder.flush()
    assert metrics.frames_dropped.totals == {}
    await hub.close()
    await meters.close()
    await answers.database.close()
    await oddities.database.close()
    await recorder.close()
    threads.close_threads()
    connections.close_all()


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


def judge(text: str, heard: list[list[Any]], version: str) -> None:
    """Exactly one answer to a readable id, none but complaints otherwise, and never our own fault."""
    wanted = fuzzing.readable_id(text)
    shown = text[:600]
    assert all(len(frame) >= 3 and frame[0] in (3, 4) for frame in heard), (shown, heard)
    assert not [frame for frame in heard if frame[0] == 4 and frame[2] == "InternalError"], (shown, heard)
    if wanted is None:
        assert len(heard) <= 1, (shown, heard)
        assert version != "ocpp1.6" or not heard or heard[0][0] == 4, (shown, heard)
        return
    cut = wanted[:36] if isinstance(wanted, str) else wanted
    assert len(heard) == 1 and heard[0][1] in (wanted, cut, str(wanted).replace("\x00", "")), (shown, heard)


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_mutated_frame_is_too_much(quiet: None, station: Charger, version: str) -> None:
    pick = random.Random(f"{version} 20261121")
    wire = Wire("BLR-017", version)
    assert (await wire.next())["type"] == "websocket.accept"
    for number in range(FRAMES // len(VERSIONS)):
        text = fuzzing.frame_of(pick, version, f"f{number}")
        judge(text, await wire.say(text, f"beat-{number}"), version)
    await wire.leave()


@override_settings(OCPP_MESSAGES_PER_SECOND=0)
@pytest.mark.parametrize("version", VERSIONS)
async def test_no_mutated_frame_is_too_much_for_a_real_socket(
    connect: Connect, station: Charger, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MALFORMED_PER_MINUTE", 10**9)
    pick = random.Random(f"{version} socket")
    socket = await connect("BLR-017", subprotocols=[version])
    for number in range(OVER_SOCKETS):
        text = fuzzing.frame_of(pick, version, f"f{number}")
        heard: list[list[Any]] = []
        await socket.send(text)
        await socket.send([2, f"beat-{number}", "Heartbeat", {}])
        while (frame := await socket.receive())[1] != f"beat-{number}":
            if frame[0] != 2:
                heard.append(frame)
        judge(text, heard, version)
