"""The rules of ingest, one test each, through the real route and the real tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from vehicles import intake
from vehicles.events import SocLow, SocRecovered, VehiclesMoved
from vehicles.fixes import CHARGING, CLOCK_CORRECTED, INDIAN_CLOCK, LATE, SUSPECT_POSITION, SUSPECT_SOC
from vehicles.models import Position, VehicleState
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_model, make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MG_ROAD = (12.9756, 77.6050)
MYSURU = (12.2958, 76.6394)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def van(organisation):
    return make_vehicle(organisation, device_id="van-1")


def ping(seconds_ago: float = 0, place: tuple[float, float] = MG_ROAD, **fields: Any) -> dict[str, Any]:
    return {"ts": NOW.timestamp() - seconds_ago, "lat": place[0], "lon": place[1], **fields}


async def send(tracker, *pings: dict[str, Any]) -> dict[str, Any]:
    answer = await tracker.post("/ingest/v1/pings", json={"device": "van-1", "pings": list(pings)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def flags_by_age(van) -> dict[int, int]:
    rows = [row async for row in Position.objects.filter(vehicle=van)]
    return {int((NOW - row.fix_at).total_seconds()): row.flags for row in rows}


async def test_up_to_two_minutes_ahead_is_stored_as_it_is_and_clamped_for_latest(tracker, van) -> None:
    assert (await send(tracker, ping(-120)))["accepted"] == 1
    assert await flags_by_age(van) == {-120: 0}
    assert (await VehicleState.objects.aget(vehicle=van)).position_at == NOW


async def test_a_clock_up_to_a_day_ahead_is_corrected_and_flagged(tracker, van) -> None:
    assert (await send(tracker, ping(-19_800)))["accepted"] == 1
    assert await flags_by_age(van) == {0: CLOCK_CORRECTED | INDIAN_CLOCK}  # 5 h 30 min: Indian time sent as UTC


async def test_a_batch_from_a_fast_clock_keeps_its_spacing(tracker, van) -> None:
    assert (await send(tracker, ping(-19_780), ping(-19_790), ping(-19_800)))["accepted"] == 3
    assert await flags_by_age(van) == dict.fromkeys((0, 10, 20), CLOCK_CORRECTED | INDIAN_CLOCK)


async def test_another_wrong_clock_is_corrected_without_a_guess(tracker, van) -> None:
    assert (await send(tracker, ping(-3_600)))["accepted"] == 1
    assert await flags_by_age(van) == {0: CLOCK_CORRECTED}


async def test_more_than_a_day_ahead_is_rejected_as_future(tracker, van) -> None:
    answer = await send(tracker, ping(-86_401), ping())
    assert [(item["i"], item["code"]) for item in answer["rejected"]] == [(0, "future")]
    assert answer["accepted"] == 1


async def test_older_than_thirty_days_is_rejected_as_too_old(tracker, van) -> None:
    answer = await send(tracker, ping(30 * 86_400 + 1), ping(30 * 86_400))
    assert [(item["i"], item["code"]) for item in answer["rejected"]] == [(0, "too_old")]
    assert await flags_by_age(van) == {30 * 86_400: LATE}


async def test_a_receiver_that_lost_1024_weeks_is_put_right(tracker, van) -> None:
    assert (await send(tracker, ping(1024 * 7 * 86_400)))["accepted"] == 1
    assert await flags_by_age(van) == {0: CLOCK_CORRECTED}


@pytest.mark.parametrize("place", [(0, 77.6), (12.97, 0), (91, 77), (12.97, 180.5)])
async def test_impossible_coordinates_are_rejected(tracker, van, place) -> None:
    answer = await send(tracker, ping(place=place))
    assert answer["rejected"][0]["code"] == "coordinates"
    assert await Position.objects.acount() == 0


async def test_swapped_coordinates_are_rejected_with_a_hint(tracker, van) -> None:
    answer = await send(tracker, ping(place=(77.6050, 12.9756)))
    assert "swapped" in answer["rejected"][0]["detail"]


async def test_a_repeated_ping_is_a_duplicate_and_changes_nothing(tracker, van) -> None:
    await send(tracker, ping(5, soc=50))
    answer = await send(tracker, ping(5, place=(12.98, 77.61), soc=40))
    assert (answer["accepted"], answer["duplicate"]) == (0, 1)
    row = await Position.objects.aget(vehicle=van)
    assert (row.latitude, row.soc_percent) == (MG_ROAD[0], 50)
    assert (await VehicleState.objects.aget(vehicle=van)).version == 1


async def test_a_repeat_that_knows_the_charge_completes_the_first(tracker, van) -> None:
    await send(tracker, ping(5))
    assert (await send(tracker, ping(5, soc=41)))["duplicate"] == 1
    assert (await Position.objects.aget(vehicle=van)).soc_percent == 41
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 41


async def test_out_of_order_pings_are_stored_but_never_move_latest(tracker, van) -> None:
    await send(tracker, ping(10))
    await send(tracker, ping(60, place=(12.9757, 77.6050)))
    assert await Position.objects.filter(vehicle=van).acount() == 2
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.position_at, state.latitude) == (NOW - timedelta(seconds=10), MG_ROAD[0])


async def test_a_teleport_is_stored_as_suspect_and_not_shown(tracker, van) -> None:
    await send(tracker, ping(20), ping(10, place=MYSURU))
    assert await flags_by_age(van) == {20: 0, 10: SUSPECT_POSITION}
    assert (await VehicleState.objects.aget(vehicle=van)).latitude == MG_ROAD[0]


async def test_three_suspects_that_agree_are_the_new_truth(tracker, van) -> None:
    for seconds_ago in (40, 30, 20, 10):
        await send(tracker, ping(seconds_ago, place=MG_ROAD if seconds_ago == 40 else MYSURU))
    assert await flags_by_age(van) == {40: 0, 30: SUSPECT_POSITION, 20: SUSPECT_POSITION, 10: 0}
    assert (await VehicleState.objects.aget(vehicle=van)).latitude == MYSURU[0]


async def test_suspects_that_disagree_convince_nobody(tracker, van) -> None:
    places = [MG_ROAD, MYSURU, (15.0, 75.0), MYSURU, (15.0, 75.0)]
    await send(tracker, *(ping(50 - 10 * n, place=place) for n, place in enumerate(places)))
    assert (await VehicleState.objects.aget(vehicle=van)).latitude == MG_ROAD[0]


async def test_the_speed_limit_is_that_of_the_vehicle_class(tracker, organisation) -> None:
    auto = await in_thread(lambda: make_vehicle(organisation, device_id="auto", model=make_model(vehicle_class="3W")))
    car = await in_thread(lambda: make_vehicle(organisation, device_id="car", model=make_model(vehicle_class="4W")))
    hop = (MG_ROAD[0] + 0.0025, MG_ROAD[1])  # 278 m in 10 s: 100 km/h
    for device in ("auto", "car"):
        await tracker.post("/ingest/v1/pings", json={"device": device, "pings": [ping(10), ping(0, place=hop)]})
    assert (await flags_by_age(auto))[0] == SUSPECT_POSITION
    assert (await flags_by_age(car))[0] == 0


async def test_a_held_position_that_jumps_is_no_teleport(tracker, van) -> None:
    """Receivers hold a fix for up to 16 s while the vehicle drives on, then catch up within one second."""
    held = [ping(20 - n) for n in range(16)]
    assert (await send(tracker, *held, ping(4, place=(MG_ROAD[0] + 0.0025, MG_ROAD[1]))))["accepted"] == 17
    assert set((await flags_by_age(van)).values()) == {0}


async def test_a_charge_that_jumps_is_suspect_and_believed_only_when_it_stays(tracker, van) -> None:
    await send(tracker, ping(50, soc=14.72), ping(49, soc=0.02), ping(48, soc=13.32))
    assert (await flags_by_age(van))[49] == SUSPECT_SOC
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 13.32
    await send(tracker, ping(30, soc=90), ping(20, soc=90))
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 13.32
    await send(tracker, ping(10, soc=90))
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 90


async def test_charging_may_raise_the_charge_quickly(tracker, van) -> None:
    await send(tracker, ping(60, soc=30, charging="dc"), ping(0, soc=42, charging="dc"))
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 42
    assert (await flags_by_age(van))[0] == CHARGING


async def test_zero_charge_while_driving_is_suspect(tracker, van) -> None:
    await send(tracker, ping(0, soc=0, speed_kmh=40))
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent is None
    assert (await flags_by_age(van))[0] == SUSPECT_SOC


async def test_late_pings_are_counted_and_never_raise_an_alert(tracker, van, heard) -> None:
    answer = await send(tracker, ping(1_200, soc=21), ping(601, soc=18))
    assert (answer["accepted"], answer["late"]) == (2, 2)
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.soc_percent, state.is_soc_low) == (18, False)
    assert await heard.all_of(SocLow) == []
    await send(tracker, ping(0, soc=17.8))
    assert [event.soc_percent for event in await heard.all_of(SocLow)] == [17.8]


async def test_one_low_and_one_recovered_per_crossing(tracker, van, organisation, heard, clock) -> None:
    for minute, soc in enumerate((24, 20, 19.9, 18, 21, 24.9, 19, 25, 22, 20)):
        clock.move_to(NOW + timedelta(minutes=minute))
        await send(tracker, ping(-60 * minute, soc=soc, charging="dc"))
    lows, recoveries = await heard.all_of(SocLow), heard.of(SocRecovered)
    assert [(event.soc_percent, event.organisation_id) for event in lows] == [(19.9, organisation.pk)]
    assert lows[0].at == NOW + timedelta(minutes=2)
    assert lows[0].telemetry_version == 3
    assert [event.soc_percent for event in recoveries] == [25]


async def test_the_limits_are_those_of_the_organisation(tracker, van, organisation, heard) -> None:
    organisation.soc_low_percent, organisation.soc_clear_percent = 40, 50
    await organisation.asave()
    await send(tracker, ping(0, soc=39))
    assert len(await heard.all_of(SocLow)) == 1


async def test_duplicates_and_a_restart_tell_of_a_crossing_once(tracker, van, heard) -> None:
    await send(tracker, ping(30, soc=22), ping(20, soc=19))
    for _ in range(3):
        await intake.telemetry.close()
        intake.telemetry.registry.forget()
        await send(tracker, ping(20, soc=19), ping(10, soc=18.5))
    assert len(await heard.all_of(SocLow)) == 1


async def test_one_batch_is_one_move_per_vehicle(tracker, van, heard) -> None:
    await send(tracker, *(ping(n, soc=50) for n in range(5)))
    (moved,) = await heard.all_of(VehiclesMoved)
    (move,) = moved.moves
    assert (move.vehicle_id, move.at, move.soc_percent, move.is_soc_low) == (van.pk, NOW, 50, False)
