"""One statement stores the readings and the figures of their sessions; replays and disorder change nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from billing.events import SessionMetered
from billing.models import ChargingSession, MeterValue, SessionMessage
from billing.services import meters
from billing.services.meters import MeterReading, write_meter_values
from billing.services.pace import FEW
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from stations.models import EVSE, Charger, Connector, Location, Source

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)


@pytest.fixture
def session(transactional_db: None, organisation: Organisation) -> ChargingSession:
    source = Source.objects.create(slug="own", name="Own", kind=Source.Kind.OWN_OCPP, organisation=organisation)
    place = Location.objects.create(source=source, name="Depot", latitude=12.97, longitude=77.59)
    charger = Charger.objects.create(organisation=organisation, location=place, ocpp_identity="BLR-1")
    unit = EVSE.objects.create(location=place, charger=charger, evse_number=2)
    connector = Connector.objects.create(evse=unit, connector_id=2)
    return ChargingSession.objects.create(
        organisation=organisation, source=source, charger=charger, connector=connector, transaction_ref="7",
        start_key="k", started_at=NOW, meter_start_wh=1000, meter_last_wh=1000,
    )  # fmt: skip


@pytest.fixture(autouse=True)
async def heard(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[SessionMetered]]:
    """SessionMetered as its subscribers get it; the writer's connections are closed afterwards."""
    told: list[SessionMetered] = []
    monkeypatch.setitem(events._handlers, SessionMetered, [told.append])
    yield told
    await meters.close()
    connections.close_all()


def reading(session: ChargingSession, minutes: float, energy_wh: int | None = None, **more: Any) -> MeterReading:
    fields: dict[str, Any] = {
        "charger_id": session.charger_id, "evse_number": 2, "transaction_ref": "7",
        "at": NOW + timedelta(minutes=minutes), "received_at": NOW + timedelta(hours=1), "energy_wh": energy_wh,
        "power_w": None, "soc_percent": None, "context": "Sample.Periodic", "sampled": [{"value": "1"}],
    } | more  # fmt: skip
    key = hashlib.blake2b(repr((minutes, energy_wh, more)).encode(), digest_size=16).hexdigest()
    return MeterReading(dedupe_key=key, **fields)


async def test_the_session_shows_the_newest_of_each_figure(session: ChargingSession) -> None:
    batch = [
        reading(session, 2, 3000, power_w=30_000),
        reading(session, 1, 2000, soc_percent=40.0),
        reading(session, 3, soc_percent=45.0),
    ]
    assert await write_meter_values(batch) == [True, True, True]
    session.refresh_from_db()
    assert (session.energy_wh, session.meter_last_wh, session.power_w) == (2000, 3000, 30_000)
    assert (session.soc_start_percent, session.soc_percent) == (40.0, 45.0)
    assert session.metered_at == NOW + timedelta(minutes=3)


async def test_a_repeat_is_stored_once_also_within_a_batch(session: ChargingSession) -> None:
    same = reading(session, 1, 2000)
    assert await write_meter_values([same, same]) == [True, False]
    assert await write_meter_values([same]) == [False]
    assert MeterValue.objects.count() == 1


async def test_a_number_whose_sample_was_told_before_is_kept(session: ChargingSession) -> None:
    """OCPP 2.x: two events with the same sample are two numbers, a repeat of one event is none."""
    first, twin = reading(session, 1, 2000, sequence=1), reading(session, 1, 2000, sequence=1)
    twin.sequence = 2
    assert await write_meter_values([first, twin]) == [True, False]
    assert await write_meter_values([first]) == [False]
    assert await write_meter_values([twin]) == [False]
    kept = SessionMessage.objects.values_list("charger_id", "transaction_ref", "sequence")
    assert list(kept) == [(session.charger_id, "7", 2)]


@pytest.mark.parametrize(("minutes", "is_news"), [(20, True), (30.5, True), (32, False)])
async def test_an_ended_session_hears_of_late_samples_of_its_time(
    session: ChargingSession, minutes: float, is_news: bool
) -> None:
    ended = {"state": "ended", "ended_at": NOW + timedelta(minutes=30), "energy_wh": 4000, "power_w": 0}
    ChargingSession.objects.update(**ended)
    await write_meter_values([reading(session, minutes, 9000, power_w=7, soc_percent=50.0)])
    session.refresh_from_db()
    assert session.needs_revision == is_news
    assert (session.energy_wh, session.power_w, session.metered_at, session.soc_percent) == (4000, 0, None, None)


async def test_an_older_reading_is_kept_but_turns_nothing_back(session: ChargingSession) -> None:
    await write_meter_values([reading(session, 5, 6000, power_w=1)])
    await write_meter_values([reading(session, 2, 3000, power_w=9)])
    session.refresh_from_db()
    assert (session.energy_wh, session.power_w, session.metered_at) == (5000, 1, NOW + timedelta(minutes=5))
    assert MeterValue.objects.count() == 2


async def test_a_register_that_runs_backwards_takes_no_energy_away(session: ChargingSession) -> None:
    await write_meter_values([reading(session, 1, 6000)])
    await write_meter_values([reading(session, 2, 10)])
    session.refresh_from_db()
    assert (session.energy_wh, session.meter_last_wh) == (5000, 6000)


async def test_an_ended_session_keeps_its_figures(session: ChargingSession) -> None:
    ChargingSession.objects.update(state="ended", ended_at=NOW, energy_wh=77)
    await write_meter_values([reading(session, 5, 6000)])
    session.refresh_from_db()
    assert (session.energy_wh, session.metered_at) == (77, None)
    assert MeterValue.objects.count() == 1


async def test_without_a_start_register_the_first_reading_is_the_start(session: ChargingSession) -> None:
    ChargingSession.objects.update(meter_start_wh=None, meter_last_wh=None)
    await write_meter_values([reading(session, 1, 5000), reading(session, 2, 5600)])
    session.refresh_from_db()
    assert (session.meter_start_wh, session.energy_wh) == (5000, 600)


async def test_a_reading_without_transaction_finds_the_session_by_place_and_time(session: ChargingSession) -> None:
    batch = [
        reading(session, 1, 2000, transaction_ref=""),
        reading(session, -1, 900, transaction_ref=""),
        reading(session, 1, 800, transaction_ref="", evse_number=1),
    ]
    await write_meter_values(batch)
    stored = dict(MeterValue.objects.values_list("energy_wh", "transaction_ref"))
    assert stored == {2000: "7", 900: "", 800: ""}
    session.refresh_from_db()
    assert session.energy_wh == 1000


async def test_another_chargers_transaction_of_the_same_name_is_not_touched(session: ChargingSession) -> None:
    await write_meter_values([reading(session, 1, 9000, charger_id=(session.charger_id or 0) + 1)])
    session.refresh_from_db()
    assert session.energy_wh == 0


async def test_running_figures_are_published_after_the_commit(
    session: ChargingSession, heard: list[SessionMetered]
) -> None:
    await write_meter_values([reading(session, 1, 2500, power_w=7400, soc_percent=50.0)])
    await meters.close()
    assert heard == [SessionMetered(((session.pk, session.connector_id, 1500, 7400, 50.0),))]


async def test_what_was_said_is_kept_word_for_word(session: ChargingSession) -> None:
    said = [{"value": "OCMF|{...}|{...}", "format": "SignedData"}, {"value": "0.15003999999999998", "unit": "kWh"}]
    await write_meter_values([reading(session, 1, 150, sampled=said)])
    assert MeterValue.objects.get().sampled == said


async def test_a_clock_aligned_reading_belongs_to_no_session(session: ChargingSession) -> None:
    await write_meter_values([reading(session, 1, 2000, transaction_ref="", context="Sample.Clock")])
    assert MeterValue.objects.get().transaction_ref == ""


async def test_a_late_reading_without_transaction_finds_a_session_that_has_ended(session: ChargingSession) -> None:
    ChargingSession.objects.update(state="ended", ended_at=NOW + timedelta(minutes=5))
    await write_meter_values([
        reading(session, 2, 3000, transaction_ref=""), reading(session, 7, 4000, transaction_ref=""),
    ])  # fmt: skip
    stored = dict(MeterValue.objects.values_list("energy_wh", "transaction_ref"))
    assert stored == {3000: "7", 4000: ""}


async def test_a_register_beyond_a_megawatt_moves_nothing(session: ChargingSession) -> None:
    await write_meter_values([reading(session, 1, 2000)])
    await write_meter_values([reading(session, 2, 90_000_000)])
    await write_meter_values([reading(session, 3, 3000)])
    session.refresh_from_db()
    assert (session.energy_wh, session.meter_last_wh) == (2000, 3000)


async def test_intervals_add_up_while_no_register_is_said(session: ChargingSession) -> None:
    ChargingSession.objects.update(meter_start_wh=None, meter_last_wh=None)
    await write_meter_values([reading(session, 1, interval_wh=300), reading(session, 2, interval_wh=200)])
    await write_meter_values([reading(session, 3, interval_wh=400, sequence=7)])
    session.refresh_from_db()
    assert (session.energy_wh, session.meter_last_wh) == (900, None)
    assert MeterValue.objects.get(sequence=7).interval_wh == 400


async def test_a_session_is_found_by_its_key_and_rewritten_where_it_lies(session: ChargingSession) -> None:
    """Also in a table so small, or so little known, that a planner would rather read all of it."""
    for statement in (meters._WRITE, meters._CATCH_UP):
        explained = await meters.database.fetch(f"EXPLAIN {statement}", {"readings": "[]", "due": None})
        plan = "\n".join(row[0] for row in explained)
        assert "one_session_per_transaction" in plan
        assert "Seq Scan on billing_chargingsession" not in plan
    where = "SELECT (ctid::text::point)[0]::int FROM billing_chargingsession WHERE id = %s"
    pages: list[tuple[int]] = []
    for minute in range(1, 2000):  # until nobody looks at its old versions any more
        await write_meter_values([reading(session, minute, 1000 + minute)])
        pages += await meters.database.fetch(where, [session.pk])
        if len(pages) >= 40 and len(set(pages[-40:])) == 1:
            return
    raise AssertionError(f"it wanders: {pages[-40:]}")


def load(session: ChargingSession, minutes: float, energy_wh: int, **more: Any) -> list[MeterReading]:
    """As many readings as wait for one commit under load; one is of the session."""
    others = [reading(session, minutes, number, charger_id=10_000 + number) for number in range(FEW)]
    return [*others, reading(session, minutes, energy_wh, **more)]


async def test_under_load_a_session_is_told_soon_of_all_that_was_stored(
    session: ChargingSession, heard: list[SessionMetered]
) -> None:
    await write_meter_values(load(session, 1, 1500, power_w=7000))
    session.refresh_from_db()
    assert (session.energy_wh, session.power_w) == (500, 7000)  # the first of all moves it
    for minutes, energy_wh, more in ((2, 1700, {"power_w": 9000}), (3, 1900, {"soc_percent": 60.0}), (4, 2100, {})):
        await write_meter_values(load(session, minutes, energy_wh, **more))
    assert await MeterValue.objects.filter(charger=session.charger).acount() == 4
    await meters.close()
    session.refresh_from_db()
    assert (session.energy_wh, session.meter_last_wh, session.power_w) == (1100, 2100, 9000)
    assert (session.soc_percent, session.metered_at) == (60.0, NOW + timedelta(minutes=4))
    assert [row[2] for event in heard for row in event.readings][-1] == 1100


async def test_under_load_it_needs_nobody_who_closes(session: ChargingSession) -> None:
    await write_meter_values(load(session, 1, 1500))
    await write_meter_values(load(session, 2, 1700))
    async with asyncio.timeout(20):
        while (await ChargingSession.objects.aget()).energy_wh < 700:
            await asyncio.sleep(0.02)


async def test_under_load_the_first_register_and_charge_count_at_once(session: ChargingSession) -> None:
    ChargingSession.objects.update(meter_start_wh=None, meter_last_wh=None)
    await write_meter_values([reading(session, 0.5, power_w=1), *load(session, 0.5, 3)[:-1]])
    await write_meter_values(load(session, 1, 5000, soc_percent=40.0))
    session.refresh_from_db()
    assert (session.meter_start_wh, session.soc_start_percent) == (5000, 40.0)


async def test_an_ended_session_hears_of_late_samples_under_load_too(session: ChargingSession) -> None:
    await write_meter_values(load(session, 1, 1500))
    ChargingSession.objects.update(state="ended", ended_at=NOW + timedelta(minutes=30), energy_wh=4000)
    await write_meter_values(load(session, 20, 9000))
    session.refresh_from_db()
    assert session.needs_revision
    ChargingSession.objects.update(needs_revision=False)  # it may have looked before this was committed
    await meters.close()
    session.refresh_from_db()
    assert (session.needs_revision, session.energy_wh) == (True, 4000)
