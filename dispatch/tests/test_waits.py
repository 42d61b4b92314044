"""Waits and forecasts by what sessions did before: against brute force, never against themselves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core import forecast, waits

seconds = st.floats(60, 30_000)


def sessions(count: int, *, seed: int = 1) -> np.ndarray:
    """Two kinds of visits: a quick top-up and a long lunch."""
    random = np.random.default_rng(seed)
    short, long = random.lognormal(math.log(1_200), 0.3, count), random.lognormal(math.log(5_400), 0.2, count)
    return np.where(random.random(count) < 0.6, short, long)


def seen_inside(durations: np.ndarray, count: int, *, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(elapsed, remaining) of sessions that somebody looks at: a moment finds a long session more often."""
    random = np.random.default_rng(seed)
    found = random.choice(durations, count, p=durations / durations.sum())
    elapsed = found * random.random(count)
    return elapsed, found - elapsed


def test_remaining_time_is_that_of_the_sessions_which_lasted_as_long():
    law = waits.thinned(waits.empirical(sessions(4_000), [True] * 4_000))
    later = sessions(200_000, seed=7)
    for elapsed in (0, 600, 1_500, 3_000, 5_000):
        longer = later[later > elapsed] - elapsed
        assert law.remaining(elapsed, 0.5) == pytest.approx(np.quantile(longer, 0.5), rel=0.12)
        assert law.remaining(elapsed, 0.9) == pytest.approx(np.quantile(longer, 0.9), rel=0.12)


def test_half_of_the_waits_stay_below_the_p50_and_nine_tenths_below_the_p90():
    law = waits.thinned(waits.empirical(sessions(4_000), [True] * 4_000))
    elapsed, left = seen_inside(sessions(100_000, seed=7), 6_000)
    for share in (0.5, 0.9):
        kept = [law.remaining(one, share) >= rest for one, rest in zip(elapsed, left, strict=True)]
        assert np.mean(kept) == pytest.approx(share, abs=0.03)


def test_it_beats_the_constant_median_and_the_memoryless_mean():
    """As measured on 23,294 sessions of Perth & Kinross: conditional 22.9, constant 27.5, memoryless 28.8 minutes."""
    known = sessions(4_000)
    law = waits.thinned(waits.empirical(known, [True] * 4_000))
    elapsed, left = seen_inside(sessions(100_000, seed=7), 6_000)

    def error(guess: np.ndarray) -> float:
        return float(np.mean(np.abs(guess - left)))

    conditional = error(np.array([law.remaining(one, 0.5) for one in elapsed]))
    assert conditional < error(np.maximum(300, np.median(known) - elapsed)) * 0.9
    assert conditional < error(np.full(len(left), known.mean())) * 0.9


def test_a_session_that_still_runs_counts_as_longer_than_it_was_seen():
    """Looked at after 20 minutes, every lunch still runs; leaving them out would halve the median."""
    durations = sessions(5_000)
    is_over = durations <= 1_200
    law = waits.empirical(np.minimum(durations, 1_200), is_over)
    assert law.survival(1_100) == pytest.approx(np.mean(durations > 1_100), abs=0.02)
    assert waits.empirical(durations[is_over], [True] * is_over.sum()).survival(1_100) < np.mean(durations > 1_100) / 2


@given(st.lists(seconds, min_size=1, max_size=40), st.floats(0, 40_000), st.floats(0.05, 0.95))
def test_remaining_agrees_with_counting(durations, elapsed, share):
    law = waits.empirical(durations, [True] * len(durations))
    longer = sorted(one - elapsed for one in durations if one > elapsed)
    if longer:
        over_by_then = sum(one <= law.remaining(elapsed, share) + 1e-6 for one in longer) / len(longer)
        assert over_by_then >= share - 1e-9
        before = sum(one < law.remaining(elapsed, share) - 1e-6 for one in longer) / len(longer)
        assert before <= share + 1e-9
    else:
        assert law.remaining(elapsed, 0.5) == pytest.approx(waits.LEAST_REMAINING_SECONDS)


def test_few_sessions_lean_on_what_is_known_of_others():
    default = waits.default_law()
    own = waits.evenly([7_200.0])
    assert waits.shrunk(own, default, 0).remaining(0, 0.5) == pytest.approx(default.remaining(0, 0.5))
    assert waits.shrunk(own, default, 2).remaining(0, 0.5) < 3_600
    assert waits.shrunk(own, default, 200).remaining(0, 0.5) == 7_200


def test_the_law_that_is_assumed_is_the_one_that_was_measured():
    default = waits.default_law()
    assert default.remaining(0, 0.5) == pytest.approx(27 * 60, rel=0.03)
    assert default.remaining(0, 0.9) == pytest.approx(61 * 60, rel=0.05)


@given(
    st.lists(st.tuples(st.floats(0, 6_000), st.floats(60, 5_000)), max_size=4),
    st.floats(0, 5_000),
    st.floats(0, 5_000),
)
def test_the_p90_of_a_wait_is_the_p90_of_simulated_waits(inbound, elapsed, arrives):
    """Own vehicles queue behind whoever charges; simulated for every way the session there may end."""
    law = waits.evenly(sessions(64, seed=3))
    state = waits.PlugState(False, elapsed, inbound=tuple(inbound), law=law)
    ends = [one - elapsed for one in law.seconds if one > elapsed] or [waits.LEAST_REMAINING_SECONDS]

    def walked(left: float) -> float:
        free_at = left + waits.CHANGEOVER_SECONDS
        for comes, charges in sorted(inbound):
            if comes <= arrives:
                free_at = max(free_at, comes) + charges + waits.CHANGEOVER_SECONDS
        return max(0.0, free_at - arrives)

    outcomes = sorted(walked(left) for left in ends)
    for share in (waits.P50, waits.P90) if len(ends) > 1 else ():
        wait = waits.wait_seconds(state, arrives_in_seconds=arrives, share=share)
        assert sum(one <= wait + 1e-6 for one in outcomes) >= share * len(outcomes) - 1e-6
        assert any(one == pytest.approx(wait) for one in outcomes)


def test_a_session_that_streams_its_charge_is_followed_by_its_curve():
    state = waits.PlugState(False, 600.0, curve_remaining_seconds=1_200.0)
    assert waits.remaining_seconds(state) == 1_320
    assert waits.free_at_arrival(state, arrives_in_seconds=1_400) == 1
    assert waits.free_at_arrival(state, arrives_in_seconds=1_300) == 0


# Forecasts

WEEKS = 20


def week_of(random: np.random.Generator, marks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plug that is busy by day and not by night, in spells: (states, hours of the week, the chance behind them)."""
    hours = (np.arange(marks) // forecast.MARKS_PER_HOUR) % forecast.HOURS
    usual = np.where((hours % 24 >= 9) & (hours % 24 < 21), 0.7, 0.15)
    stays = 0.85  # from one quarter of an hour to the next
    draws, states = random.random(marks), np.zeros(marks, np.int8)
    for at in range(1, marks):
        states[at] = states[at - 1] if draws[at] < stays else random.random() < usual[at]
    return states, hours, usual


def learned(rows: list[np.ndarray], hours: np.ndarray) -> forecast.Profile:
    tally = forecast.Tally.empty()
    for row in rows:
        tally.add(row, hours)
    busy = forecast.usual(tally, tally.share)
    return forecast.Profile(busy, forecast.kept(rows, hours, busy))


def judged(profile: forecast.Profile, rows: list[np.ndarray], hours: np.ndarray, ahead: int) -> tuple[list, list]:
    said, came = [], []
    for row in rows:
        for at in range(0, len(row) - ahead, 7):
            said.append(
                1 - profile.p_busy(is_busy=bool(row[at]), hour=hours[at], ahead_hours=ahead / forecast.MARKS_PER_HOUR)
            )
            came.append(row[at + ahead] == forecast.FREE)
    return said, came


@pytest.fixture(scope="module")
def city() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(5)
    marks = WEEKS * forecast.HOURS * forecast.MARKS_PER_HOUR
    rows = [week_of(random, marks) for _ in range(14)]
    return [row[0] for row in rows[:8]], [row[0] for row in rows[8:]], rows[0][1]


@pytest.mark.parametrize("ahead", [1, 2, 4, 12])
def test_of_plugs_said_to_be_free_with_70_percent_7_in_10_are(city, ahead):
    before, after, hours = city
    profile = learned(before, hours)
    points = forecast.calibration(*judged(profile, before, hours, ahead))
    said, came = judged(profile, after, hours, ahead)
    given_out = np.array([forecast.calibrated(points, one) for one in said])
    for low in np.arange(0, 1, 0.1):
        inside = (given_out >= low) & (given_out < low + 0.1)
        if inside.sum() >= 400:
            chance = 4 * 0.5 / math.sqrt(inside.sum())  # four standard errors
            assert np.mean(np.array(came)[inside]) == pytest.approx(np.mean(given_out[inside]), abs=chance)


@pytest.mark.parametrize("ahead", [1, 4, 12])
def test_the_forecast_beats_both_the_usual_and_what_is_now(city, ahead):
    before, after, hours = city
    profile = learned(before, hours)
    said, came = judged(profile, after, hours, ahead)
    usual, _ = judged(forecast.Profile(profile.busy, 0.0), after, hours, ahead)
    now, _ = judged(forecast.Profile(profile.busy, 1.0), after, hours, ahead)
    assert forecast.brier(said, came) < forecast.brier(now, came)
    assert forecast.brier(said, came) <= forecast.brier(usual, came) + 1e-3


def test_a_plug_that_went_dark_says_nothing_of_how_busy_it_is():
    marks = np.arange(0, 40, 1.0)
    states = forecast.states_at([10, 20], [forecast.BUSY, forecast.DARK], marks)
    assert [*states[:10]] == [forecast.DARK] * 10
    assert [*states[10:20]] == [forecast.BUSY] * 10
    assert [*states[20:]] == [forecast.DARK] * 20
    tally = forecast.Tally.empty()
    tally.add(states, np.zeros(40, np.int64))
    assert tally.share == 1
    assert tally.looks[0] == 10 / forecast.MARKS_PER_HOUR


def test_forecasts_that_are_too_sure_are_taken_back():
    random = np.random.default_rng(3)
    truth = random.random(20_000)
    came = random.random(20_000) < truth
    too_sure = np.clip((truth - 0.5) * 3 + 0.5, 0, 1)
    points = forecast.calibration(too_sure.tolist(), came.tolist())
    mended = [forecast.calibrated(points, one) for one in too_sure]
    assert forecast.brier(mended, came.tolist()) < forecast.brier(too_sure.tolist(), came.tolist()) - 0.01
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert forecast.calibration([0.5] * 20, [True] * 20) == forecast.NO_CALIBRATION
    assert len(forecast.calibration([0.5] * 900, [True, False] * 450)) == 1
