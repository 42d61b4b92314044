"""In a storm of samples the running figures of sessions follow the stored samples; nothing is lost by that."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from billing.events import SessionMetered
from billing.models import CDR, ChargingSession, MeterValue
from billing.services import meter_sql, meters
from billing.services.meters import MeterReading, write_meter_values
from billing.services.running_figures import CROWD, catch_up_left_behind
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from stations.models import EVSE, Charger, Connector, Location, Source

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
FIGURES = "energy_wh", "power_w", "soc_start_percent", "soc_percent", "meter_start_wh", "meter_last_wh", "metered_at"


@pytest.fixture
def session(transactional_db: None, organisation: Organisation) -> ChargingSession:
    return begin(organisation, "BLR-1")


@pytest.fixture(autouse=True)
async def heard(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[SessionMetered]]:
    told: list[SessionMetered] = []
    monkeypatch.setitem(events._handlers, SessionMetered, [told.append])
    yield told
    await meters.close()
    connections.close_all()


def begin(organisation: Organisation, name: str) -> ChargingSession:
    source, _ = Source.objects.get_or_create(
        slug="own", defaults={"name": "Own", "kind": Source.Kind.OWN_OCPP, "organisation": organisation}
    )
    place = Location.objects.create(source=source, name=name, latitude=12.97, longitude=77.59)
    charger = Charger.objects.create(organisation=organisation, location=place, ocpp_identity=name)
    connector = Connector.objects.create(evse=EVSE.objects.create(location=place, charger=charger, evse_number=1))
    return ChargingSession.objects.create(
        organisation=organisation, source=source, charger=charger, connector=connector, transaction_ref="7",
        start_key=name, started_at=NOW,
    )  # fmt: skip


def reading(session: ChargingSession, second: int, energy_wh: int | None = None, **more: Any) -> MeterReading:
    fields: dict[str, Any] = {
        "charger_id": session.charger_id, "evse_number": 1, "transaction_ref": "7",
        "at": NOW + timedelta(seconds=second), "received_at": NOW + timedelta(hours=1), "energy_wh": energy_wh,
        "power_w": None, "soc_percent": None, "context": "Sample.Periodic", "sampled": [{"value": str(second)}],
        "dedupe_key": f"{session.charger_id:016x}{second:016x}",
    }  # fmt: skip
    return MeterReading(**fields | more)


def registers(session: ChargingSession, first: int, count: int = CROWD) -> list[MeterReading]:
    return [reading(session, second, 1_000 + second) for second in range(first, first + count)]


async def metered(session: ChargingSession) -> int:
    await session.arefresh_from_db()
    return session.energy_wh


async def test_the_second_of_two_crowds_moves_its_session_a_moment_later(
    session: ChargingSession, heard: list[SessionMetered]
) -> None:
    await write_meter_values(registers(session, 1))
    assert await metered(session) == CROWD - 1
    assert await write_meter_values(registers(session, 101)) == [True] * CROWD
    assert await metered(session) == CROWD - 1
    assert await MeterValue.objects.acount() == 2 * CROWD
    await meters._running.catch_up()
    assert await metered(session) == 100 + CROWD - 1
    await meters.close()
    assert heard[-1].readings[0][2] == 100 + CROWD - 1


async def test_what_is_behind_is_caught_up_with_by_itself(
    session: ChargingSession, heard: list[SessionMetered]
) -> None:
    await write_meter_values(registers(session, 1))
    await write_meter_values(registers(session, 101))
    assert meters._running._task is not None
    await meters._running._task
    assert await metered(session) == 100 + CROWD - 1


async def test_a_repeat_in_a_crowd_is_told_from_what_is_new(session: ChargingSession) -> None:
    await write_meter_values(registers(session, 1))
    assert await write_meter_values(registers(session, 11)) == [False] * (CROWD - 10) + [True] * 10
    await meters._running.catch_up()
    assert await metered(session) == CROWD + 9


async def test_a_storm_ends_in_the_same_figures_as_the_same_samples_one_by_one(organisation: Organisation) -> None:
    rng = random.Random(8)
    values = [(second, _sample(rng, 1_000 + 15 * second)) for second in range(1, 12 * CROWD)]
    calm, stormy = [await sync_to_async(begin)(organisation, name) for name in ("CALM", "STORM")]
    for second, value in values:
        await write_meter_values([reading(calm, second, **value)])
    for first in range(0, len(values), CROWD):
        await write_meter_values([reading(stormy, second, **value) for second, value in values[first : first + CROWD]])
        if rng.random() < 0.3:
            await meters._running.catch_up()
    await meters._running.catch_up()
    await calm.arefresh_from_db()
    await stormy.arefresh_from_db()
    assert {name: getattr(stormy, name) for name in FIGURES} == {name: getattr(calm, name) for name in FIGURES}
    assert calm.energy_wh > 0


def _sample(rng: random.Random, register: int) -> dict[str, Any]:
    said = {"energy_wh": register, "power_w": rng.randrange(60_000), "soc_percent": float(rng.randrange(1, 99))}
    return {name: value for name, value in said.items() if rng.random() < 0.6}


async def test_intervals_of_a_storm_are_counted_once(session: ChargingSession) -> None:
    for first in (1, 101, 201):
        await write_meter_values([reading(session, second, interval_wh=2) for second in range(first, first + CROWD)])
        await meters._running.catch_up()
        await meters._running.catch_up()
    assert await metered(session) == 3 * 2 * CROWD


async def test_a_sample_without_its_transaction_lets_the_others_catch_up_first(session: ChargingSession) -> None:
    await write_meter_values([reading(session, second, interval_wh=2) for second in range(CROWD)])
    await write_meter_values([reading(session, 100 + second, interval_wh=2) for second in range(CROWD)])
    await write_meter_values([reading(session, 300, interval_wh=5, transaction_ref="")])
    assert await metered(session) == 4 * CROWD + 5


async def test_an_ended_session_learns_of_late_samples_with_the_samples_themselves(session: ChargingSession) -> None:
    await write_meter_values(registers(session, 1))
    await ChargingSession.objects.aupdate(state="ended", ended_at=NOW + timedelta(minutes=10))
    await write_meter_values(registers(session, 101))
    await session.arefresh_from_db()
    assert session.needs_revision
    assert session.energy_wh == CROWD - 1


async def test_samples_after_the_end_change_nothing(session: ChargingSession) -> None:
    await write_meter_values(registers(session, 1))
    await ChargingSession.objects.aupdate(state="ended", ended_at=NOW + timedelta(seconds=5))
    await write_meter_values(registers(session, 101))
    await session.arefresh_from_db()
    assert not session.needs_revision


async def test_a_database_that_is_away_is_asked_again(
    session: ChargingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_meter_values(registers(session, 1))
    await write_meter_values(registers(session, 101))
    fetch, asked = meters.database.fetch, []

    async def away_once(query: str, params: Any = None) -> Any:
        asked.append(query)
        if len(asked) == 1:
            raise psycopg.OperationalError("away")
        return await fetch(query, params)

    monkeypatch.setattr(meters.database, "fetch", away_once)
    assert meters._running._task is not None
    await meters._running._task
    assert asked == [meter_sql.CATCH_UP] * 2
    assert await metered(session) == 100 + CROWD - 1


async def test_the_sweep_finds_what_a_lost_process_left_behind(session: ChargingSession) -> None:
    await meters._write(meter_sql.STORE, registers(session, 1))  # and no more
    sweep = sync_to_async(catch_up_left_behind)
    assert await sweep(now=NOW + timedelta(hours=1)) == 0  # perhaps it is about to
    assert await sweep(now=LATER) == 1
    assert await metered(session) == CROWD - 1
    assert await sweep(now=LATER) == 0


async def test_the_sweep_finds_a_sample_that_committed_beside_its_stop(session: ChargingSession) -> None:
    await meters._write(meter_sql.STORE, registers(session, 1))
    revised_at, ended_at = NOW + timedelta(minutes=59), LATER - timedelta(minutes=5)
    await ChargingSession.objects.aupdate(state="ended", ended_at=ended_at, revised_at=revised_at, metered_at=NOW)
    await CDR.objects.acreate(
        organisation_id=session.organisation_id, session=session, started_at=NOW, ended_at=ended_at, energy_wh=0,
        charging_seconds=0, idle_seconds=0,
    )  # fmt: skip
    assert await sync_to_async(catch_up_left_behind)(now=LATER) == 1
    await session.arefresh_from_db()
    assert session.needs_revision


async def test_the_sweep_reads_the_sessions_that_ended_lately_and_no_others(session: ChargingSession) -> None:
    """Every minute, however many have ended: by indexes, also where a small table could be read whole."""
    bounds = {"before": LATER, "since": NOW}
    plan = "\n".join(row[0] for row in await meters.database.fetch(f"EXPLAIN {meter_sql.LEFT_BEHIND}", bounds))
    assert "active_sessions_by_connector" in plan
    assert "cdrs_of_an_organisation" in plan
    assert "Seq Scan on billing_" not in plan
