"""Properties of the low-charge latch and the range left."""

from hypothesis import given
from hypothesis import strategies as st

from vehicles.soc import Crossings, SocLimits, latch_after, next_latch, range_left_km

LIMITS = SocLimits(20, 25)
percents = st.floats(0, 100)


@given(st.lists(percents, max_size=40), st.randoms())
def test_the_latch_from_two_maxima_is_the_latch_from_the_whole_story_in_any_order(readings, random) -> None:
    story = list(enumerate(readings))
    shuffled = story * 3
    random.shuffle(shuffled)
    crossings = Crossings()
    for at, soc_percent in shuffled:
        crossings.see(soc_percent, at, LIMITS)
    assert crossings.is_low == latch_after(readings, LIMITS)


@given(st.booleans(), percents)
def test_between_the_limits_nothing_changes(is_low, soc_percent) -> None:
    after = next_latch(is_low, soc_percent, LIMITS)
    if soc_percent < 20:
        assert after
    elif soc_percent >= 25:
        assert not after
    else:
        assert after is is_low


def test_the_limits_themselves() -> None:
    assert not next_latch(False, 20, LIMITS)
    assert next_latch(False, 19.999, LIMITS)
    assert next_latch(True, 24.999, LIMITS)
    assert not next_latch(True, 25, LIMITS)


@given(percents, percents, st.integers(1, 400_000), st.integers(1, 2_000))
def test_more_charge_never_means_less_range(one, two, battery_wh, consumption) -> None:
    low, high = sorted((one, two))
    figures = {"battery_wh": battery_wh, "consumption_wh_per_km": consumption, "reserve_percent": 5}
    assert range_left_km(soc_percent=low, **figures) <= range_left_km(soc_percent=high, **figures)
    assert range_left_km(soc_percent=5, **figures) == 0


def test_range_of_a_known_van() -> None:
    assert range_left_km(soc_percent=25, battery_wh=20_000, consumption_wh_per_km=200) == 25
    assert range_left_km(soc_percent=25, battery_wh=20_000, consumption_wh_per_km=200, reserve_percent=5) == 20
