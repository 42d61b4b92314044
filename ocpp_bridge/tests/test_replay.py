"""A recording played back: recorded from one charger, downloaded, and understood again by the server as another."""

import asyncio
import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing.models import ChargingSession
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation
from ocpp_bridge import recordings, replay
from ocpp_bridge.recorder import hash_tag, recorder
from ocpp_bridge.recordings import Wanted
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.threads import in_database
from vehicles.models import IdToken

BOOT = {"chargePointVendor": "Zz", "chargePointModel": "Z1"}


async def recorded_session(connect: Connect, organisation: Organisation) -> list[bytes]:
    """One whole session of BLR-1, as the download has it."""
    row = factories.charger(organisation, "BLR-1")
    factories.token(organisation, "TAG1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT, "b1")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 1000, "timestamp": "2026-11-21T10:00:00Z"}
    number = (await charger.call("StartTransaction", start, "s1"))["transactionId"]
    await charger.send("this is no frame")
    sample = {"timestamp": "2026-11-21T10:05:00Z", "sampledValue": [{"value": "1500"}]}
    await charger.call("MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": [sample]}, "m1")
    stop = {"transactionId": number, "meterStop": 2000, "timestamp": "2026-11-21T10:10:00Z"}
    await charger.call("StopTransaction", stop, "e1")
    await recorder.flush()
    return await in_database(lambda: list(recordings.as_lines(recordings.search(charger_id=row.pk, wanted=Wanted()))))


async def test_a_session_is_played_into_another_charger(
    connect: Connect, organisation: Organisation, port: int, tmp_path: Path
) -> None:
    lines = await recorded_session(connect, organisation)
    twin = factories.charger(organisation, "TWIN-1")
    file = tmp_path / "frames.jsonl"
    file.write_bytes(b"".join([b"garbage\n", *lines]))
    out = io.StringIO()
    await asyncio.to_thread(
        call_command, "replay_frames", str(file), url=f"ws://127.0.0.1:{port}/ocpp", identity="TWIN-1",
        key=factories.KEY, speed=0.0, stdout=out,
    )  # fmt: skip
    text = out.getvalue()
    assert "4 CALLs sent, 4 answered, 0 not; 1 other frames" in text
    assert f"1 tags went as their hashes, which are nobody's (see --tag):\n  {hash_tag('TAG1')}\n" in text
    sessions = await in_database(lambda: list(ChargingSession.objects.order_by("pk")))
    assert [session.energy_wh for session in sessions] == [1000, 1000]
    assert sessions[1].charger_id == twin.pk
    assert sessions[0].transaction_ref != sessions[1].transaction_ref


@pytest.mark.parametrize("is_named_by_its_hash", [False, True])
async def test_tags_of_the_recording_become_tokens_of_the_server(
    connect: Connect, organisation: Organisation, port: int, tmp_path: Path, is_named_by_its_hash: bool
) -> None:
    fund(organisation, 1_000_00)
    lines = await recorded_session(connect, organisation)
    assert b"TAG1" not in b"".join(lines)
    factories.charger(organisation, "TWIN-1")
    token = factories.token(organisation, "TWIN-TAG") if is_named_by_its_hash else IdToken.objects.get(uid="TAG1")
    file = tmp_path / "frames.jsonl"
    file.write_bytes(b"".join(lines))
    out = io.StringIO()
    tag = f"{hash_tag('TAG1')}=TWIN-TAG" if is_named_by_its_hash else "TAG1"
    await asyncio.to_thread(
        call_command, "replay_frames", str(file), url=f"ws://127.0.0.1:{port}/ocpp", identity="TWIN-1",
        key=factories.KEY, speed=0.0, tag=[tag], stdout=out,
    )  # fmt: skip
    # TAG1 itself charged elsewhere at that very time, as the server sees it
    assert ("0 answers mean something else than then" if is_named_by_its_hash else "ConcurrentTx") in out.getvalue()
    assert "went as their hashes" not in out.getvalue()
    twin = await in_database(lambda: ChargingSession.objects.latest("pk"))
    assert (twin.id_token_uid, twin.organisation_id) == (token.uid, organisation.pk)


async def test_the_charger_answers_as_it_did_then() -> None:
    rows = [
        replay.Line(None, True, "CALLRESULT", "Reset", "x", [3, "x", {"status": "Rejected"}], ""),
    ]  # type: ignore[arg-type]
    player = replay.Replay(rows, speed=0)
    assert player._answer([2, "new", "Reset", {}]) == [3, "new", {"status": "Rejected"}]
    assert player._answer([2, "new", "ClearCache", {}]) == [3, "new", {"status": "Accepted"}]


def test_an_empty_file_and_a_closed_door_say_so(tmp_path: Path) -> None:
    file = tmp_path / "frames.jsonl"
    file.write_text("nothing\n")
    with pytest.raises(CommandError, match="no frames"):
        call_command("replay_frames", str(file), url="ws://127.0.0.1:1/ocpp", identity="X")
    file.write_text(
        '{"at":"2026-11-21T10:00:00Z","direction":"in","kind":"CALL","action":"Heartbeat","message_id":"1",'
        '"frame":"[2,\\"1\\",\\"Heartbeat\\",{}]"}\n'
    )
    with pytest.raises(CommandError, match="Cannot connect"):
        call_command("replay_frames", str(file), url="ws://127.0.0.1:1/ocpp", identity="X")
