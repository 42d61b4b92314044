"""The charge of vehicles that do not tell it: near the truth, never surer without a reading, and what triggers see."""

import math
import random
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from fleetcharge.lib.columns import read_columns
from fleetcharge.lib.events import _handlers
from vehicles import loop, tasks
from vehicles.estimating import Appetite, Since, estimate
from vehicles.events import SocLow, SocRecovered
from vehicles.fixes import SUSPECT_POSITION
from vehicles.loop import estimate_charges
from vehicles.models import Position, Vehicle, VehicleState
from vehicles.readings import Metered, hear_chargers
from vehicles.tests.factories import NOON, make_model, make_state, make_vehicle

START = (12.97, 77.59)
METRES_PER_DEGREE = 111_195
metres = st.floats(0, 200_000)


class Ping(NamedTuple):
    seconds: float
    latitude: float
    longitude: float
    speed_kmh: float
    odometer_m: float


def drive(km: float, *, seed: int = 1, held_seconds: int = 0, every: int = 10) -> list[Ping]:
    """Left and right through a town, every eight km elsewhere, with halts at lights; receivers may hold a position."""
    rng, pings = random.Random(seed), list[Ping]()
    (lat, lon), driven, seconds, halt, is_left = START, 0.0, 0, 0, False
    shown, shown_at = START, 0.0
    while driven < km * 1000:
        speed = 0.0 if halt else rng.uniform(6, 14)
        halt = max(0, halt - 1) if halt else (rng.randint(3, 30) if rng.random() < 0.005 else 0)
        is_left ^= rng.random() < 0.01
        heading = 0.3 + driven // 8_000 * 2 + is_left * math.pi / 2
        lat += speed * math.cos(heading) / METRES_PER_DEGREE
        lon += speed * math.sin(heading) / METRES_PER_DEGREE / math.cos(math.radians(lat))
        driven, seconds = driven + speed, seconds + 1
        if seconds - shown_at >= held_seconds:
            shown, shown_at = (lat + rng.gauss(0, 4) / METRES_PER_DEGREE, lon), seconds
        if seconds % every == 0:
            pings.append(Ping(seconds, *shown, speed * 3.6, driven))
    return pings


def store(van: Vehicle, pings: list[Ping], *, has_odometer: bool = False, flags: int = 0) -> None:
    """As ingest does: the rows, and the newest place in the state."""
    Position.objects.bulk_create([
        Position(
            vehicle=van, fix_at=NOON + timedelta(seconds=ping.seconds), received_at=NOON,
            latitude_e7=round(ping.latitude * 1e7), longitude_e7=round(ping.longitude * 1e7),
            speed_dkmh=round(ping.speed_kmh * 10), odometer_m=round(ping.odometer_m) if has_odometer else None,
            flags=flags,
        ) for ping in pings
    ])  # fmt: skip
    newest = NOON + timedelta(seconds=max(ping.seconds for ping in pings))
    VehicleState.objects.filter(vehicle=van).update(position_at=newest)


def look(van: Vehicle, seconds: float) -> VehicleState:
    """The loop runs so long after noon; the state then."""
    estimate_charges(now=NOON + timedelta(seconds=seconds))
    return VehicleState.objects.get(vehicle=van)


@pytest.fixture
def van(organisation) -> Vehicle:
    van = make_vehicle(organisation, model=make_model(battery_wh=20_000, consumption_wh_per_km=150))
    make_state(van, latitude=START[0], longitude=START[1], soc_percent=90.0, soc_at=NOON)
    return van


@pytest.fixture
def told(monkeypatch) -> list[Any]:
    events: list[Any] = []
    for kind in (SocLow, SocRecovered):
        monkeypatch.setitem(_handlers, kind, [events.append])
    return events


def cut(pings: list[Ping], start_km: float, minutes: float) -> list[Ping]:
    """Without what was said in so many minutes from there on."""
    start = next(ping.seconds for ping in pings if ping.odometer_m >= start_km * 1000)
    return [ping for ping in pings if not start <= ping.seconds < start + minutes * 60]


@pytest.mark.django_db
@pytest.mark.parametrize("truth", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("kind", ["gps", "held", "gaps", "odometer"])
def test_masked_after_the_first_value_it_errs_by_at_most_six_points_after_40_km(van, truth, kind) -> None:
    pings = drive(40, seed=len(kind), held_seconds=13 if kind == "held" else 0)
    kept = cut(cut(pings, 10, 6), 25, 9) if kind == "gaps" else pings
    for part in range(0, len(kept), 60):  # every ten minutes the loop sees what is new
        some = kept[part : part + 60]
        store(van, some, has_odometer=kind == "odometer")
        state = look(van, some[-1].seconds + 130)
    true_percent = 90 - 40 * 150 * truth / 20_000 * 100
    assert state.soc_source == "estimated"
    assert abs(state.soc_percent - true_percent) <= 6
    assert state.soc_band[0] <= true_percent <= state.soc_band[1]
    assert state.soc_at == NOON


@pytest.mark.django_db
def test_counted_in_parts_is_counted_at_once(van, organisation) -> None:
    other = make_vehicle(organisation, model=van.model)
    make_state(other, latitude=START[0], longitude=START[1], soc_percent=90.0, soc_at=NOON)
    pings = drive(12)
    for part in range(0, len(pings), 7):
        store(van, pings[part : part + 7])
        look(van, pings[min(part + 6, len(pings) - 1)].seconds + 121)
    store(other, pings)
    at = pings[-1].seconds + 200
    VehicleState.objects.update(soc_is_due=True)
    assert look(other, at).soc_gps_m == pytest.approx(look(van, at).soc_gps_m, rel=1e-9)


@pytest.mark.django_db
def test_after_a_week_in_which_nobody_counted_the_pings_are_read_in_parts(organisation, monkeypatch) -> None:
    model, reads = make_model(battery_wh=20_000, consumption_wh_per_km=150), list[int]()

    def read(query: str, types: Any, params: Any) -> Any:
        columns = read_columns(query, types, params)
        reads.append(len(set(columns[0].tolist())))
        return columns

    monkeypatch.setattr(loop, "read_columns", read)
    vans = [make_vehicle(organisation, model=model) for _ in range(14)]
    for number, van in enumerate(vans):
        make_state(van, soc_percent=90.0, soc_at=NOON - timedelta(days=6))
        store(van, drive(2 + number, seed=number))
    estimate_charges(now=NOON + timedelta(hours=1))
    every, *parts = reads
    assert (every, sum(parts)) == (14, 14)
    assert max(parts) <= 7  # a thousand hours, of six days each
    for number, van in enumerate(vans):
        shown = VehicleState.objects.get(vehicle=van).soc_percent
        assert shown == pytest.approx(90 - (2 + number) * 0.75, abs=1.2)


@pytest.fixture
def fleet(van, organisation) -> list[Vehicle]:
    """Twenty that set off from the same reading."""
    others = [make_vehicle(organisation, model=van.model) for _ in range(19)]
    for other in others:
        make_state(other, latitude=START[0], longitude=START[1], soc_percent=90.0, soc_at=NOON)
    return [van, *others]


def all_drive(fleet: list[Vehicle], km: float) -> dict[int, float]:
    """Every vehicle is so far from noon on, at 40 km/h by the odometer; what each shows then."""
    for van in fleet:
        store(van, [Ping(90 * km, *START, 40, km * 1_000)], has_odometer=True)
    estimate_charges(now=NOON + timedelta(seconds=90 * km + 125))
    return dict(VehicleState.objects.values_list("vehicle_id", "soc_percent"))


@pytest.mark.django_db
def test_a_large_fleet_is_made_in_parts_that_miss_nobody(fleet, monkeypatch) -> None:
    monkeypatch.setattr(loop, "VEHICLES_A_PART", 7)
    for van in fleet:
        store(van, drive(5))
    parts, ids = loop.parts(), sorted(van.pk for van in fleet)
    assert parts == [(ids[0], ids[6]), (ids[7], ids[13]), (ids[14], ids[19])]
    assert [estimate_charges(now=NOON + timedelta(hours=1), first=a, last=b) for a, b in parts] == [7, 7, 6]


@pytest.mark.django_db
def test_the_first_part_is_made_at_once_and_workers_are_told_of_the_others(fleet, monkeypatch) -> None:
    monkeypatch.setattr(loop, "VEHICLES_A_PART", 7)
    sent: list[Any] = []
    monkeypatch.setattr(tasks.hints, "start_each", lambda task, each: sent.append((task.name, each)))
    for van in fleet:
        store(van, drive(5))
    with time_machine.travel(NOON + timedelta(hours=1), tick=False):
        tasks.follow_vehicles()
        assert VehicleState.objects.filter(soc_source="estimated").count() == 7
        [(name, others)] = sent
        assert (name, len(others)) == ("vehicles.tasks.estimate_charges", 2)
        for part in others:
            tasks.estimate_charges(*part)
    assert VehicleState.objects.filter(soc_source="estimated").count() == 20


@pytest.mark.django_db
def test_a_round_without_vehicles_asks_for_nothing(monkeypatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks.hints, "start_each", lambda task, each: sent.extend(each))
    tasks.follow_vehicles()
    assert sent == []


@pytest.mark.django_db
def test_vehicles_that_set_off_together_are_written_one_after_the_other(fleet) -> None:
    all_drive(fleet, 0.0)
    shown = [all_drive(fleet, 10 + 0.1 * step) for step in range(5)]  # 0.075 points each, 0.25 are worth a write
    written = [{pk for pk in now if now[pk] != before[pk]} for before, now in pairwise(shown)]
    assert all(3 <= len(some) <= 9 for some in written)
    assert set.union(*written) == {van.pk for van in fleet}
    true_percent = 90 - 10.4 * 0.75
    assert all(0 <= percent - true_percent <= 0.25 + 1e-6 for percent in shown[-1].values())


@pytest.mark.django_db
def test_many_pings_of_who_stands_are_counted_soon(van) -> None:
    all_drive([van], 0.0)
    store(van, [Ping(3.0 * n, *START, 0.0, 0) for n in range(1, 31)])
    state = look(van, 250)
    assert (state.soc_counted_at, state.soc_percent) == (NOON + timedelta(seconds=90), 90.0)


@pytest.mark.django_db
def test_who_stands_or_only_wanders_keeps_the_reading(van) -> None:
    rng = random.Random(3)
    store(van, [
        Ping(60.0 * n, START[0] + rng.gauss(0, 15) / METRES_PER_DEGREE, START[1], rng.choice([0.0, 1.4]), 0)
        for n in range(1, 200)
    ])  # fmt: skip
    state = look(van, 12_100)
    assert (state.soc_percent, state.soc_source) == (90.0, "measured")


@pytest.mark.django_db
def test_the_pings_of_who_stands_are_read_once(van) -> None:
    store(van, [Ping(60.0 * n, *START, 0.0, 0) for n in range(1, 61)])
    first = look(van, 3_700)
    assert first.soc_counted_at == NOON + timedelta(hours=1)
    store(van, [ping._replace(seconds=ping.seconds + 5) for ping in drive(12)])  # for who reads it again
    store(van, [Ping(60.0 * n, *START, 0.0, 0) for n in range(61, 64)])
    second = look(van, 3_900)
    assert (second.soc_percent, second.soc_source, second.soc_base_percent) == (90.0, "measured", 90.0)
    assert (second.soc_base_at, second.soc_at, second.version) == (NOON, NOON, first.version)
    assert second.soc_counted_at == first.soc_counted_at  # a few pings are not worth a write


@pytest.mark.django_db
def test_nothing_stays_due_of_who_stands(van) -> None:
    VehicleState.objects.filter(vehicle=van).update(soc_is_due=True)
    state = look(van, 200)
    assert (state.soc_is_due, state.soc_source) == (False, "measured")


@pytest.mark.django_db
def test_who_stood_for_long_and_drives_on_is_estimated_from_the_reading(van) -> None:
    store(van, [Ping(1.0 * n, *START, 0.0, 0) for n in range(1, 900, 60)])
    assert look(van, 1_000).soc_source == "measured"
    pings = [ping._replace(seconds=ping.seconds + 1_000) for ping in drive(12)]
    store(van, pings)
    state = look(van, pings[-1].seconds + 130)
    assert (state.soc_source, state.soc_base_source) == ("estimated", "measured")
    assert state.soc_percent == pytest.approx(90 - 12 * 0.75, abs=1.2)


@pytest.mark.django_db
def test_jumps_nobody_believes_are_not_driven(van) -> None:
    store(van, drive(5))
    store(van, [Ping(77.5, 20.0, 70.0, 50.0, 0)], flags=SUSPECT_POSITION)
    VehicleState.objects.filter(vehicle=van).update(position_at=NOON + timedelta(seconds=700))
    assert look(van, 800).soc_percent > 84


@pytest.mark.django_db
def test_a_reading_takes_over_and_what_was_counted_before_it_counts_no_more(van) -> None:
    pings = drive(20)
    store(van, pings[:90])
    assert look(van, 1_100).soc_source == "estimated"
    read_at = NOON + timedelta(seconds=pings[90].seconds)
    VehicleState.objects.filter(vehicle=van).update(soc_percent=50.0, soc_at=read_at, soc_source="measured")
    store(van, pings[90:])
    state = look(van, pings[-1].seconds + 130)
    km = (pings[-1].odometer_m - pings[90].odometer_m) / 1000
    assert state.soc_percent == pytest.approx(50 - km * 0.75, abs=1.2)
    assert (state.soc_base_percent, state.soc_base_source) == (50.0, "measured")


@pytest.mark.django_db
def test_the_limit_is_crossed_by_what_nine_of_ten_have_and_told_once(
    van, django_capture_on_commit_callbacks, told
) -> None:
    VehicleState.objects.filter(vehicle=van).update(soc_percent=30.0)
    pings = drive(14)
    with django_capture_on_commit_callbacks(execute=True):
        for part in range(0, len(pings), 6):
            store(van, pings[part : part + 6])
            look(van, pings[min(part + 5, len(pings) - 1)].seconds + 125)
    [low] = told
    state = VehicleState.objects.get(vehicle=van)
    assert (type(low), low.vehicle_id, low.organisation_id) == (SocLow, van.pk, van.organisation_id)
    assert low.soc_percent < 20 < state.soc_percent + 6
    assert state.is_soc_low and state.soc_low_at == low.at
    assert low.telemetry_version == state.version == 1


@pytest.mark.django_db
def test_pings_that_came_hours_late_raise_no_alert(van, told, django_capture_on_commit_callbacks) -> None:
    VehicleState.objects.filter(vehicle=van).update(soc_percent=30.0)
    pings = drive(30)
    with django_capture_on_commit_callbacks(execute=True):
        store(van, pings)
        state = look(van, pings[-1].seconds + 3_600)
    assert told == []
    assert not state.is_soc_low
    assert state.soc_percent < 20


@given(metres, metres, metres, st.floats(0, 40_000), metres, st.floats(0, 40_000), st.floats(0.1, 4.0))
def test_nothing_but_a_reading_makes_it_surer(odometer, gps, gap, charged, more_m, more_wh, sigma) -> None:
    def at(odometer_m: float, gps_m: float, gap_m: float, charged_wh: float) -> float:
        figures = (60.0, sigma, 20_000, 150, 1.1, 0.03, odometer_m, gps_m, gap_m, charged_wh)
        return float(estimate(Since(*(np.array([float(one)]) for one in figures)))[1][0])

    before = at(odometer, gps, gap, charged)
    assert before >= sigma
    for now in (
        at(odometer + more_m, gps, gap, charged), at(odometer, gps + more_m, gap, charged),
        at(odometer, gps, gap + more_m, charged), at(odometer, gps, gap, charged + more_wh),
    ):  # fmt: skip
        assert now >= before


@given(st.floats(0.5, 2.0), st.integers(0, 100))
def test_the_appetite_is_learned_from_drives(truth, seed) -> None:
    rng, known = random.Random(seed), Appetite()
    for _ in range(12):
        km = rng.uniform(15, 60)
        drop = km * 150 * truth / 20_000 * 100 * rng.gauss(1, 0.03)
        known = known.after(
            drop_percent=drop, distance_m=km * 1000, battery_wh=20_000, wh_per_km=150, sigma_percent=0.5
        )
    assert known.factor == pytest.approx(truth, rel=0.08)
    assert known.variance < Appetite().variance


def test_small_drops_and_wonders_teach_nothing() -> None:
    figures = {"distance_m": 30_000, "battery_wh": 20_000, "wh_per_km": 150, "sigma_percent": 0.5}
    for drop in (4.9, -20.0, 3.0, 80.0):
        assert Appetite().after(drop_percent=drop, **figures) == Appetite()
    assert Appetite().after(drop_percent=20, **{**figures, "distance_m": 200}) == Appetite()


def driven(van: Vehicle, km: int) -> VehicleState:
    """So many km since noon by the odometer, at 40 an hour."""
    store(van, [Ping(90.0 * km, *START, 40, km * 1_000.0)], has_odometer=True)
    return look(van, 90 * km + 125)


@pytest.mark.django_db
def test_who_drives_on_where_the_battery_must_be_empty_has_charged_somewhere(
    van, told, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        lows = [driven(van, km).is_soc_low for km in (0, 60, 80, 150, 175, 200, 250)]
    assert lows == [False, False, True, True, False, False, False]
    assert [type(event) for event in told] == [SocLow, SocRecovered]
    state = VehicleState.objects.get(vehicle=van)
    assert (state.soc_source, state.soc_band) == ("estimated", (0.0, pytest.approx(100.0)))


@pytest.mark.django_db
def test_where_hardly_anything_is_known_the_middle_must_be_low(van) -> None:
    hear_chargers([Metered(van.pk, 1, 24_000, None, NOON + timedelta(seconds=9))], now=NOON + timedelta(hours=1))
    states = [driven(van, km) for km in (0, 220, 260)]
    assert [(round(state.soc_percent), state.is_soc_low) for state in states[1:]] == [(45, False), (15, True)]
    assert states[1].soc_band[0] < 20
