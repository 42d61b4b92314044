"""The simulated city: one day of few vehicles holds what the week must hold, and the clock is fair to everybody."""

from dataclasses import replace

import pytest

from dispatch.core import choose, windows
from dispatch.simulation.bays import Bay, Promise
from dispatch.simulation.city import City, Plug, Stranger, Tally, Van, saved
from dispatch.simulation.ways import ByCost, NearestFree
from dispatch.simulation.world import Trip, World, simulate
from fleetcharge.demo import week
from fleetcharge.demo.management.commands.simulate_week import broken_promises

HOME = (12.97, 77.59)
FACTS = choose.VehicleFacts(80, 20_000, 150, 30_000, 3_300)
RULES = choose.Rules(5, 80, 400)


def north(km):
    return (HOME[0] + km / 111.2, HOME[1])


def plug(number, km, **fields):
    return Plug(number, number, f"Hub {number}", north(km), True, **{"power_w": 30_000, "paise_per_kwh": 2000} | fields)


def van(number=1):
    """It runs low after ten of the fifteen kilometres to its only stop."""
    return Van(number, FACTS, HOME, [[north(15)]], [30.0])


def city(*plugs, vans=None, strangers=()):
    return City(list(plugs), vans or [van()], list(strangers), RULES)


@pytest.fixture(scope="module")
def day():
    return week.draw(7, days=1, chargers=14, vehicles=24)


def test_one_day_of_the_demo_city_holds_what_the_week_must(day):
    """Nobody stranded who had a plan, never two of ours on one connector, and a gain."""
    ours, theirs = simulate(day, ByCost(), seed=7), simulate(day, NearestFree(), seed=7)
    assert ours.charges > 15
    assert (ours.stranded, ours.shared_plugs, ours.own_meetings, ours.overlapping_places) == ([], 0, 0, 0)
    assert len(ours.booked_ahead_seconds) > 15  # most charges are foreseen, hours ahead
    assert max(ours.booked_ahead_seconds) > 2 * 3600
    assert ours.shared_places > 0
    assert saved(ours, theirs, 400)[1] > 0
    assert broken_promises(ours, theirs, day) == []


def test_the_same_city_has_the_same_day(day):
    assert simulate(day, ByCost(), seed=7) == simulate(day, ByCost(), seed=7)


def test_broken_promises_are_named(day):
    ours = simulate(day, ByCost(), seed=7)
    told = broken_promises(ours, ours, day)
    assert told == ["no gain against the nearest free charger"]
    cheap = replace(ours, delay_seconds=0.0, price_paise=0.0, stranded=[(1, 0.0, False)])
    assert broken_promises(cheap, ours, day) == ["1 stranded, 0 at the nearest free charger"]
    worse = replace(
        ours, stranded=[(1, 0.0, True)], stays=[(1, 0.0, 60.0, 1), (1, 30.0, 90.0, 2)], own_meetings=1,
        overlapping_places=1,
    )  # fmt: skip
    assert [text.split(" ", 1)[1] for text in broken_promises(worse, ours, day)[:4]] == [
        "stranded on the way to their plug", "times two own vehicles on one connector",
        "own vehicles met at a connector", "places kept twice at one time",
    ]  # fmt: skip


def test_energy_that_is_left_is_paid_for():
    """Both charged at 20 rupees and 6 seconds a kWh; who saved the charge and came home empty saved nothing."""
    full = Tally(charges=1, energy_wh=10_000.0, price_paise=20_000.0, delay_seconds=60.0, left_wh=9_300.0)
    half = Tally(charges=1, energy_wh=5_000.0, price_paise=10_000.0, delay_seconds=30.0, left_wh=4_650.0)
    assert saved(half, full, 400) == (pytest.approx(0), pytest.approx(0))
    assert saved(full, half, 400) == (pytest.approx(0), pytest.approx(0))
    assert "no gain against the nearest free charger" in broken_promises(replace(half, left_wh=0.0), full, city())
    assert broken_promises(replace(half, left_wh=9_300.0), full, city()) == []


def test_what_is_left_is_counted_at_the_end_of_the_day():
    """Home after one charge: what it began with and drew, less what it drove; nothing of a van that was towed."""
    short = Van(1, FACTS, HOME, [[HOME]], [50.0])
    assert simulate(city(plug(1, 10), vans=[short]), ByCost()).left_wh == pytest.approx(10_000)
    assert simulate(city(plug(1, 200)), ByCost()).left_wh == 0


class Careless(ByCost):
    """It promises places and looks at no other promise."""

    def choose(self, sight):
        return super().choose(replace(sight, taken=frozenset()))


def test_places_that_overlap_are_seen_and_end_the_week():
    vans = [on_a_round(1, 45.0), on_a_round(2, 45.0)]
    tally = simulate(city(plug(1, 15), vans=vans), Careless())
    assert tally.overlapping_places > 0
    assert any("places kept twice" in text for text in broken_promises(tally, tally, city()))


def test_a_plug_that_takes_two_at_once_is_seen_and_ends_the_week(monkeypatch):
    monkeypatch.setattr(Bay, "is_free", lambda self, now: True)
    tally = simulate(city(plug(1, 10), vans=[van(1), van(2)]), NearestFree())
    assert tally.shared_plugs == 1
    assert any("two own vehicles on one" in text for text in broken_promises(tally, tally, city()))


def test_a_charge_takes_its_time_and_is_paid():
    tally = simulate(city(plug(1, 10)), ByCost())
    assert (tally.charges, tally.decisions, tally.stranded) == (1, 1, [])
    [(connector, begins, ends, vehicle)] = tally.stays
    assert (connector, vehicle) == (1, 1)
    assert ends - begins == pytest.approx(tally.energy_wh * 0.93 / (30_000 * 0.93) * 3600, rel=0.01)
    assert tally.price_paise == pytest.approx(tally.energy_wh / 1000 * 2000)


def test_without_a_plug_in_reach_a_van_is_stranded_without_a_plan():
    tally = simulate(city(plug(1, 200)), ByCost())
    assert tally.infeasible >= 1
    assert [had_plan for _, _, had_plan in tally.stranded] == [False]
    assert tally.stranded_with_a_plan == 0


def test_a_driver_who_heads_for_a_plug_beyond_its_charge_is_stranded_with_a_plan():
    """The nearest plug is 200 km away: the driver without help tries."""
    tally = simulate(city(plug(1, 200)), NearestFree())
    assert tally.stranded_with_a_plan == 1


def test_two_vans_are_promised_two_plugs_and_without_promises_meet_at_one():
    vans, plugs = [van(1), van(2)], (plug(1, 14), plug(2, 14.9))
    assert len({stay[0] for stay in simulate(city(*plugs, vans=vans), ByCost()).stays}) == 2
    naive = simulate(city(*plugs, vans=vans), NearestFree())
    assert naive.own_meetings == 1
    assert naive.shared_plugs == 0  # the second one goes to the other plug or waits: one plug holds one vehicle


def test_one_plug_serves_two_vans_one_after_the_other():
    tally = simulate(city(plug(1, 10), vans=[van(1), van(2)]), NearestFree())
    (_, _, first_ends, _), (_, second_begins, _, _) = sorted(tally.stays, key=lambda stay: stay[1])
    assert second_begins == first_ends


def a_minute_before_arrival(**fields):
    """A stranger comes to the plug the van is on its way to."""
    plugs = (plug(1, 12, **fields), plug(2, 16.5))
    [(connector, begins, _, _)] = simulate(city(*plugs), ByCost()).stays
    assert connector == 1
    return plugs, Stranger(1, begins - 60, 3600)


def test_a_stranger_keeps_off_a_promised_plug():
    plugs, stranger = a_minute_before_arrival()
    tally = simulate(city(*plugs, strangers=[stranger]), ByCost())
    assert tally == simulate(city(*plugs), ByCost())


def test_who_finds_the_plug_taken_goes_to_the_next_one():
    plugs, stranger = a_minute_before_arrival(is_reservable=False)
    tally = simulate(city(*plugs, strangers=[stranger]), ByCost())
    assert (tally.turned_away, [stay[0] for stay in tally.stays], tally.stranded) == (1, [2], [])


def test_a_queue_at_the_plug_can_be_the_best_answer():
    """The next plug is beyond the charge: wait for the stranger to leave."""
    plugs = (plug(1, 12, is_reservable=False), plug(2, 90))
    [(_, begins, _, _)] = simulate(city(*plugs), ByCost()).stays
    tally = simulate(city(*plugs, strangers=[Stranger(1, begins - 60, 1800)]), ByCost())
    assert [(stay[0], stay[1]) for stay in tally.stays] == [(1, pytest.approx(begins - 60 + 1800))]
    assert tally.delay_seconds > 1700


def on_a_round(number, morning):
    """Seven stops up the road and back, five kilometres between them."""
    return Van(number, FACTS, HOME, [[north(km) for km in (5, 10, 15, 20, 15, 10, 5)]], [morning])


ROUNDS = [on_a_round(1, 40.0), on_a_round(2, 51.0)]


def test_vans_share_one_plug_by_the_hour():
    """Both places are kept from the morning on, for different times, and each finds its own free."""
    tally = simulate(city(plug(1, 15), vans=ROUNDS), ByCost())
    assert (len(tally.booked_ahead_seconds), tally.shared_places, tally.overlapping_places) == (2, 1, 0)
    assert min(tally.booked_ahead_seconds) > windows.AT_ONCE_SECONDS
    first, second = sorted(tally.stays, key=lambda stay: stay[1])
    assert (first[0], second[0], first[3], second[3]) == (1, 1, 1, 2)
    assert first[2] <= second[1]
    assert (tally.own_meetings, tally.sent_elsewhere, tally.no_shows, tally.stranded) == (0, 0, 0, [])


def test_who_can_drive_its_day_keeps_no_place():
    assert simulate(city(plug(1, 15), vans=[on_a_round(1, 60.0)]), ByCost()).booked_ahead_seconds == []


def test_two_who_want_one_plug_at_one_time_get_two():
    """The second one is told so in the morning, not at the plug."""
    vans = [on_a_round(1, 45.0), on_a_round(2, 45.0)]
    tally = simulate(city(plug(1, 15), plug(2, 15.5), vans=vans), ByCost())
    assert {stay[0] for stay in tally.stays} == {1, 2}
    assert (len(tally.booked_ahead_seconds), tally.overlapping_places, tally.own_meetings) == (2, 0, 0)
    assert (tally.sent_elsewhere, tally.turned_away) == (0, 0)


def test_a_stranger_may_charge_hours_before_a_place_is_kept_and_not_just_before():
    rounds = [on_a_round(2, 51.0)]
    alone = simulate(city(plug(1, 15), vans=rounds), ByCost())
    [(_, begins, _, _)] = alone.stays
    before, just_before = (Stranger(1, begins - seconds, 1200) for seconds in (5400, 1500))
    for strangers in ([before], [just_before]):
        assert simulate(city(plug(1, 15), vans=rounds, strangers=strangers), ByCost()) == alone
    late = simulate(city(plug(1, 15, is_reservable=False), vans=rounds, strangers=[just_before]), ByCost())
    assert late.stays == alone.stays  # it leaves in time
    stays = Stranger(1, begins - 1500, 7200)
    plugs = (plug(1, 15, is_reservable=False), plug(2, 16))
    moved = simulate(city(*plugs, vans=rounds, strangers=[stays]), ByCost())
    assert ([stay[0] for stay in moved.stays], moved.sent_elsewhere, moved.stranded) == ([2], 1, [])


def test_nobody_knows_when_a_stranger_leaves():
    """One that is gone in time and one that stays for hours are the same when the van sets out."""
    rounds, plugs = [on_a_round(2, 51.0)], (plug(1, 17, is_reservable=False), plug(2, 18))
    [(first, begins, _, _)] = simulate(city(*plugs, vans=rounds), ByCost()).stays
    assert first == 1
    strangers = [[Stranger(1, begins - 1500, seconds)] for seconds in (1440, 7200)]
    gone, there = (simulate(city(*plugs, vans=rounds, strangers=one), ByCost()) for one in strangers)
    assert gone == there
    assert [stay[0] for stay in gone.stays] == [2]


def test_who_does_not_come_in_its_time_loses_its_place():
    bay = Bay(plug(1, 15))
    world = World(city(plug(1, 15), vans=ROUNDS), ByCost(), seed=1)
    trip = Trip(ROUNDS[1], 0, HOME, 65.0, list(ROUNDS[1].rounds[0]))
    promise = Promise(2, 100.0, 5000.0, 1000.0)
    bay.promises, trip.booked = [promise], (bay, 3)
    world._expire(trip, bay, promise)
    assert (bay.promises, trip.booked, world.tally.no_shows) == ([], None, 1)
