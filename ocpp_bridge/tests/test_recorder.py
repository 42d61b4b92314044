"""The flight recorder: every frame of both directions is found again, and no charger ever waits for it."""

import asyncio
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import orjson
import psycopg
import pytest
from django.db import connection

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import metering, metrics, packs, recordings
from ocpp_bridge import recorder as module
from ocpp_bridge.hub import hub
from ocpp_bridge.models.frames import FramePack, Kind
from ocpp_bridge.packs import IN, OUT
from ocpp_bridge.recorder import Recorder, hash_tag, recorder
from ocpp_bridge.recordings import Frame, Recording, Wanted, search
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.tests.test_frames_api import insert
from ocpp_bridge.threads import in_database

BOOT = {"chargePointVendor": "Zz", "chargePointModel": "Z1"}
NOTHING = (0, "", "", "", None)
START = {"connectorId": 1, "idTag": "S3CR3T-4711", "meterStart": 5, "timestamp": "2026-11-21T10:00:00Z"}


async def frames_of(charger_id: int) -> list[Frame]:
    """Oldest first."""
    await recorder.flush()
    return await in_database(lambda: list(search(charger_id=charger_id, wanted=Wanted()).oldest_first()))


async def test_both_sides_of_an_exchange_are_kept_with_the_answers_latency(
    connect: Connect, organisation: Organisation
) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT, "boot-1")
    asked, answered = await frames_of(row.pk)
    assert (asked.direction, asked.kind, asked.action, asked.message_id) == (IN, 2, "BootNotification", "boot-1")
    assert orjson.loads(asked.payload) == [2, "boot-1", "BootNotification", BOOT]
    assert (answered.direction, answered.kind, answered.action) == (OUT, 3, "BootNotification")
    assert answered.latency_ms is not None
    assert answered.latency_ms >= 0
    assert asked.size_bytes == len(asked.payload)
    assert asked.at <= answered.at


async def test_tags_are_hashed_before_they_are_stored_and_still_found(
    connect: Connect, organisation: Organisation
) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    await charger.call("StartTransaction", START)
    kept = await frames_of(row.pk)
    assert not [frame for frame in kept if "s3cr3t" in frame.payload.lower()]
    found = await in_database(lambda: list(search(charger_id=row.pk, wanted=Wanted(tag="s3cr3t-4711"))))
    assert [frame.action for frame in found] == ["StartTransaction"]
    assert orjson.loads(found[0].payload)[3]["idTag"] == hash_tag("S3CR3T-4711")


async def test_malformed_frames_and_our_refusals_are_kept_too(connect: Connect, organisation: Organisation) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    await charger.send("no json \x00 at all")
    error = await charger.call("NoSuchThing", {}, "odd-1")
    kept = await frames_of(row.pk)
    broken = next(frame for frame in kept if frame.kind == Kind.MALFORMED)
    assert broken.payload == "no json  at all"
    refusal = next(frame for frame in kept if frame.kind == Kind.ERROR)
    assert (refusal.action, refusal.error_code, refusal.message_id) == ("NoSuchThing", error[2], "odd-1")
    wrong = await in_database(lambda: list(search(charger_id=row.pk, wanted=Wanted(has_error=True))))
    assert {frame.id for frame in wrong} == {broken.id, refusal.id}


async def test_long_names_are_cut_to_their_columns(connect: Connect, organisation: Organisation) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    await charger.send([4, '"' * 150, '"' * 40, "", {}])
    await charger.call('"' * 90, {}, "odd-1")
    kept = await frames_of(row.pk)
    assert [frame.kind for frame in kept] == [2, 3, 4, 2, 4]
    assert (kept[2].error_code, kept[3].action) == ('"' * 40, '"' * 60)
    assert kept[2].message_id == '"' * 64


async def test_a_full_buffer_drops_and_counts_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUFFER_FRAMES", 3)
    monkeypatch.setattr(metrics.frames_dropped, "totals", {})
    small = Recorder()
    for _ in range(5):
        small.note(1, IN, "[2]", NOTHING)
    assert len(small) == 3
    assert metrics.frames_dropped.totals == {(IN, "overload"): 2}


async def test_large_frames_fill_the_buffer_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUFFER_CHARACTERS", 1_000)
    small = Recorder()
    for _ in range(5):
        small.note(1, IN, "x" * 400, NOTHING)
    assert len(small) == 2
    await small._read(10)
    small.note(1, IN, "x" * 400, NOTHING)
    assert len(small) == 1


async def test_frames_lost_with_the_database_are_counted(
    connect: Connect, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")

    async def no_database(data: bytes) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(metrics.frames_dropped, "totals", {})
    monkeypatch.setattr(recorder, "_copy", no_database)
    answer = await charger.call("BootNotification", BOOT)
    assert answer["status"] == "Accepted"
    assert await frames_of(row.pk) == []
    assert metrics.frames_dropped.totals == {(IN, "database"): 1, (OUT, "database"): 1}


async def test_switched_off_it_counts_and_stores_nothing(
    connect: Connect, organisation: Organisation, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OCPP_RECORD_DAYS = 0
    monkeypatch.setattr(metrics.frames, "totals", {})
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    assert await frames_of(row.pk) == []
    assert metrics.frames.totals[IN, "BootNotification"] == 1


async def test_the_answer_to_our_own_call_bears_its_action_and_its_latency(
    connect: Connect, organisation: Organisation
) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    lane = hub.find(row.pk).lane
    asking = asyncio.create_task(lane.call("ClearCache", {}))
    await charger.receive()
    assert await asking == {"status": "Accepted"}
    await charger.send([3, "never-asked", {}])
    await charger.call("Heartbeat", {})
    answer, stray = [frame for frame in await frames_of(row.pk) if frame.direction == IN and frame.kind == 3]
    assert (answer.action, stray.action) == ("ClearCache", "")
    assert answer.latency_ms is not None
    assert stray.latency_ms is None


# --- empty answers --------------------------------------------------------------------------------------------------
SAID = '[2,"m-1","MeterValues",{}]'
ASKED = (2, "m-1", "MeterValues", "", None)
ANSWERED = (3, ASKED[1], "MeterValues", "", 0.0125)


def kept_of(charger_id: int) -> int:
    """How many frames are written; an empty answer is not one."""
    return sum(len(packs.unpack(bytes(pack.frames))) for pack in FramePack.objects.filter(charger_id=charger_id))


async def test_an_empty_answer_is_kept_with_its_call_and_seen_as_a_frame(
    connect: Connect, organisation: Organisation
) -> None:
    row = factories.charger(organisation, "BLR-1")
    charger = await connect("BLR-1")
    await charger.call("BootNotification", BOOT)
    before = len(await frames_of(row.pk))
    status = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
    assert await charger.call("StatusNotification", status, "s-1") == {}
    asked, answered = (await frames_of(row.pk))[before:]
    assert await in_database(kept_of, row.pk) == before + 1
    assert (asked.direction, asked.kind, asked.latency_ms) == (IN, 2, None)
    assert (answered.direction, answered.kind, answered.action, answered.message_id) == (
        OUT, 3, "StatusNotification", "s-1",
    )  # fmt: skip
    assert (answered.payload, answered.size_bytes) == ('[3,"s-1",{}]', len('[3,"s-1",{}]'))
    assert answered.latency_ms is not None
    assert abs((answered.at - asked.at).total_seconds() * 1000 - answered.latency_ms) < 0.1
    assert answered.id == asked.id + 1


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ('[3,"m-1",{"currentTime":"now"}]', ANSWERED),
        ('[3,"m-2",{}]', (3, "m-2", *ANSWERED[2:])),  # of another CALL
        ('[4,"m-1","InternalError","",{}]', (4, "m-1", "MeterValues", "InternalError", 0.0125)),
        ("[3,1,{}]", (3, 1, *ANSWERED[2:])),
    ],
)
async def test_any_other_answer_is_kept_by_itself(
    organisation: Organisation, text: str, head: Any, transactional_db: None
) -> None:
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    call = recorder.note(charger_id, IN, SAID, ASKED)
    recorder.note_answer(call, charger_id, text, head)
    assert [frame.payload for frame in await frames_of(charger_id)] == [SAID, text]
    assert await in_database(kept_of, charger_id) == 2


async def test_an_answer_after_its_call_was_written_is_kept_by_itself(
    organisation: Organisation, transactional_db: None
) -> None:
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    call = recorder.note(charger_id, IN, SAID, ASKED)
    await recorder.flush()
    recorder.note_answer(call, charger_id, '[3,"m-1",{}]', ANSWERED)
    recorder.note_answer(call, charger_id, '[3,"m-1",{}]', ANSWERED)  # whatever happens, nothing is lost
    asked, first, second = await frames_of(charger_id)
    assert (asked.latency_ms, first.latency_ms, second.latency_ms) == (None, 12.5, 12.5)


async def test_pages_and_searches_find_the_answers_that_are_kept_with_calls(
    organisation: Organisation, transactional_db: None
) -> None:
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    for number in range(3):
        message_id = f"m-{number}"
        call = recorder.note(charger_id, IN, f'[2,"{message_id}","Heartbeat",{{}}]', (2, message_id, "Hb", "", None))
        recorder.note_answer(call, charger_id, f'[3,"{message_id}",{{}}]', (3, message_id, "Hb", "", 0.001))
    everything = (await frames_of(charger_id))[::-1]
    assert [frame.direction for frame in everything] == [OUT, IN] * 3

    def found(wanted: Wanted) -> Recording:
        return search(charger_id=charger_id, wanted=wanted)

    def look() -> None:
        assert list(found(Wanted())) == everything
        for place, frame in enumerate(everything):
            assert list(found(Wanted()).older_than(frame.id)) == everything[place + 1 :]
            assert list(found(Wanted()).newer_than(frame.id)) == everything[:place]
            assert recordings.frame_of(organisation, frame.id) == frame
            assert list(found(Wanted(since=frame.at))) == [one for one in everything if one.at >= frame.at]
            assert list(found(Wanted(until=frame.at))) == [one for one in everything if one.at < frame.at]
        assert list(found(Wanted(direction=OUT))) == everything[::2]
        assert list(found(Wanted(text='[3,"m-1"'))) == [everything[2]]
        assert list(found(Wanted(message_id="m-2"))) == everything[:2]
        lines = [orjson.loads(line) for line in recordings.as_lines(found(Wanted()))]
        assert [line["id"] for line in lines] == [frame.id for frame in everything[::-1]]

    await in_database(look)


async def test_a_lost_call_counts_with_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_database(data: bytes) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(metrics.frames_dropped, "totals", {})
    small = Recorder()
    monkeypatch.setattr(small, "_copy", no_database)
    call = small.note(1, IN, SAID, ASKED)
    small.note_answer(call, 1, '[3,"m-1",{}]', ANSWERED)
    await small.flush()
    assert metrics.frames_dropped.totals == {(IN, "database"): 1, (OUT, "database"): 1}


def test_a_page_of_frames_is_read_from_the_index_of_its_charger(organisation: Organisation) -> None:
    charger = factories.charger(organisation, "BLR-1")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ocpp_bridge_frame_pack (charger_id, at, until, frames)"
            " SELECT %s + n %% 50, now(), now(), '\\x90' FROM generate_series(1, 20000) n",
            [charger.pk],
        )
        cursor.execute("ANALYZE ocpp_bridge_frame_pack")
    found = search(charger_id=charger.pk, wanted=Wanted()).older_than(10**15)
    plan = found._packs().order_by("-pk")[:16].explain()
    assert "packs_of_a_charger" in plan or "charger_id_id_idx" in plan, plan
    assert "Seq Scan on ocpp_bridge_frame_pack_2" not in plan, plan


# --- packs ----------------------------------------------------------------------------------------------------------
def said(number: int, *, at: float = 0.0, payload: str = SAID) -> packs.Kept:
    return packs.Kept(at, IN, 2, "MeterValues", f"m-{number}", "", len(payload), None, False, payload)


async def test_what_a_charger_says_in_a_row_is_one_row_and_a_fraction_of_its_size(
    organisation: Organisation, transactional_db: None
) -> None:
    first, second = [(await in_database(factories.charger, organisation, f"BLR-{n}")).pk for n in (1, 2)]
    text = '[2,"m-%d","MeterValues",{"connectorId":1,"meterValue":[{"sampledValue":[{"value":"%d","unit":"Wh"}]}]}]'
    for number in range(100):
        for charger_id in (first, second):
            recorder.note(charger_id, IN, text % (number, number), (2, f"m-{number}", "MeterValues", "", None))
    for charger_id in (first, second):
        assert [frame.payload for frame in await frames_of(charger_id)] == [text % (n, n) for n in range(100)]
        pack = await in_database(FramePack.objects.filter(charger_id=charger_id).get)
        assert len(bytes(pack.frames)) < 100 * len(text) / 4
        assert pack.at <= pack.until


def test_packs_end_before_they_hold_too_much() -> None:
    many = [said(number) for number in range(1_200)]
    assert [len(part) for part in packs.portions(many)] == [512, 512, 176]
    long = [said(number, payload="x" * 200_000) for number in range(3)]
    assert [len(part) for part in packs.portions(long)] == [1, 1, 1]
    slow = [said(number, at=400.0 * number) for number in range(4)]
    assert [len(part) for part in packs.portions(slow)] == [2, 2]
    assert list(packs.portions([])) == []


async def test_what_is_being_written_when_the_process_ends_is_kept(
    organisation: Organisation, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    ending, has_begun, may_go_on = Recorder(), asyncio.Event(), asyncio.Event()
    copy = ending._copy

    async def slow_copy(data: bytes) -> None:
        has_begun.set()
        await may_go_on.wait()
        await copy(data)

    monkeypatch.setattr(ending, "_copy", slow_copy)
    ending.start()
    ending.note(charger_id, IN, SAID, ASKED)
    await has_begun.wait()
    closing = asyncio.create_task(ending.close())
    await asyncio.sleep(0)
    may_go_on.set()
    await closing
    assert [frame.payload for frame in await frames_of(charger_id)] == [SAID]


async def test_frames_wait_for_each_other_also_while_some_are_written(
    organisation: Organisation, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy process would write a row for each frame, as fast as the database allows."""
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    busy, waits = Recorder(), list[int]()
    copy = busy._copy

    async def copy_while_more_comes(data: bytes) -> None:
        busy.note(charger_id, IN, SAID, ASKED)
        await copy(data)
        waits.append(len(busy))

    monkeypatch.setattr(busy, "_copy", copy_while_more_comes)
    busy.note(charger_id, IN, SAID, ASKED)
    await busy._write_some()
    assert waits == [1]
    assert len(busy) == 1
    await busy.database.close()


@pytest.mark.parametrize("count", [1, 15, 16, 512])
def test_packs_are_read_as_they_were_written(count: int) -> None:
    kept = [said(number, payload='[2,"ü\U0001f50c",0]') for number in range(count)]
    assert packs.unpack(packs.pack(kept)) == kept


async def test_a_long_recording_is_read_in_parts_without_losing_or_doubling(
    organisation: Organisation, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "FIRST_PACKS", 2)
    monkeypatch.setattr(recordings, "MOST_PACKS", 3)
    charger_id = (await in_database(factories.charger, organisation, "BLR-1")).pk
    for number in range(15):
        recorder.note(charger_id, IN, f"[2,{number}]", (2, str(number), "Heartbeat", "", None))
        await recorder.flush()
    everything = await frames_of(charger_id)
    assert [frame.message_id for frame in everything] == [str(number) for number in range(15)]
    assert await in_database(lambda: list(search(charger_id=charger_id, wanted=Wanted()))) == everything[::-1]


def test_a_search_from_the_beginning_of_time_is_one_for_everything(organisation: Organisation) -> None:
    charger = factories.charger(organisation, "BLR-1")
    insert(charger.pk, datetime.now(UTC), [said(1, at=datetime.now(UTC).timestamp())])
    first_day = datetime(1, 1, 1, tzinfo=UTC)
    assert len(list(search(charger_id=charger.pk, wanted=Wanted(since=first_day)))) == 1


def test_single_frames_of_an_earlier_release_are_packed(organisation: Organisation) -> None:
    migration = import_module("ocpp_bridge.migrations.0016_frames_in_packs")
    first, second = (factories.charger(organisation, f"BLR-{number}").pk for number in (1, 2))
    old = datetime.now(UTC) - timedelta(days=3)
    with connection.cursor() as cursor:
        cursor.execute(migration.CREATE_SINGLE)
        cursor.execute("SELECT setval('ocpp_bridge_frame_id_seq', 10000000000)")
        for charger_id, number in ((first, 1), (second, 2), (first, 3)):
            cursor.execute(
                "INSERT INTO ocpp_bridge_frame (charger_id, at, direction, kind, action, message_id, error_code,"
                " size_bytes, latency_ms, payload) VALUES (%s, %s, 0, 2, 'MeterValues', %s, '', 9, %s, 'x')",
                [charger_id, old, f"m-{number}", 12.5 if number == 3 else None],
            )
    editor = SimpleNamespace(connection=connection)
    with connection.cursor() as cursor:
        cursor.execute(migration.STOP_WRITERS)
    migration.make_days(None, editor)
    migration.pack_what_there_is(None, editor)
    kept = list(search(charger_id=first, wanted=Wanted()).oldest_first())
    assert [(frame.message_id, frame.kind) for frame in kept] == [("m-1", 2), ("m-3", 2), ("m-3", 3)]
    assert kept[0].at == old
    assert kept[0].id > 10000000000
    assert kept[2].latency_ms == 12.5
    assert [frame.message_id for frame in search(charger_id=second, wanted=Wanted())] == ["m-2"]
    assert old.date() in recordings.PARTITIONS.days()


# --- tags -----------------------------------------------------------------------------------------------------------
def test_frames_that_differ_in_digits_alone_are_judged_alike_and_no_secret_hides_among_them() -> None:
    harmless = '[2,"4711","MeterValues",{"connectorId":1,"meterValue":[{"sampledValue":[{"value":"%d"}]}]}]'
    telling = '[2,"%d","Authorize",{"idTag":"S3CR3T-%d"}]'
    for number in range(3):
        assert module._redacted(harmless % number, "4711") == harmless % number
        assert "S3CR3T" not in module._redacted(telling % (number, number), str(number))
        assert "S3CR3T" not in module._redacted(f'[2,"idTag","Authorize",{{"idTag":"S3CR3T-{number}"}}]', "idTag")
        assert "S3CR3T" not in module._redacted(f'[2,"1","Authorize",{{"i{number}dTag":1,"idTag":"S3CR3T"}}]', "1")


def test_old_days_are_dropped_and_the_days_ahead_exist(db: None, settings) -> None:
    settings.OCPP_RECORD_DAYS = 7
    today = datetime(2031, 3, 10, tzinfo=UTC).date()
    made, _ = recordings.keep_partitions(today=today)
    assert today in made
    assert recordings.keep_partitions(today=today) == ([], [])
    at = datetime(2031, 3, 10, tzinfo=UTC)
    insert(1, at, [said(1, at=at.timestamp())])
    assert FramePack.objects.filter(at__year=2031).count() == 1
    _, dropped = recordings.keep_partitions(today=today + timedelta(days=8))
    assert today in dropped
    assert FramePack.objects.filter(at__year=2031).count() == 0


def test_what_chargers_make_up_is_not_remembered_at_length() -> None:
    module._hash_of.cache_clear()
    long = "Tag" * 100_000
    assert hash_tag(long) == hash_tag(long.lower())
    assert module._hash_of.cache_info().currsize == 0
    kept = module.kept_of(module.Noted(1, IN, "[2]", 0.0, 2, "m1", long, long, None))
    assert (len(kept.action), len(kept.error_code)) == (60, 40)
    metering._PLANS.clear()
    metering.normalise([{"value": "1", "unit": long}])
    assert not metering._PLANS
    for number in range(metering.MAX_PLANS + 5):
        metering.normalise([{"value": "1", "unit": f"Odd{number}"}])
    metering.normalise([{"value": "1", "unit": "kWh"}])
    assert len(metering._PLANS) < 20


async def test_long_frames_are_kept_like_others(transactional_db: None, organisation: Organisation) -> None:
    station = await in_database(factories.charger, organisation, "BLR-1")
    tags = [{"idTag": f"S3CR3T-{number}"} for number in range(2_000)]
    recorder.note(station.pk, IN, orjson.dumps([2, "long", "SendLocalList", {"list": tags}]).decode(),
                  (2, "long", "SendLocalList", "", None))  # fmt: skip
    recorder.note(station.pk, IN, '[2,"short","Heartbeat",{}]', (2, "short", "Heartbeat", "", None))
    found = {frame.message_id: frame for frame in await frames_of(station.pk)}
    assert set(found) == {"long", "short"}
    assert "S3CR3T" not in found["long"].payload
    assert hash_tag("S3CR3T-1999") in found["long"].payload
