"""A tracker's clock, told by its live packets: live ones are of now, history keeps its distance."""

from datetime import UTC, datetime

import pytest

from vehicles.ais140.clocks import Said, TrackerClock
from vehicles.clocks import GPS_ROLLOVER
from vehicles.decoders.instants import to_microseconds
from vehicles.fixes import DAY, MINUTE, SECOND

NOW = to_microseconds(datetime(2026, 11, 21, 12, 0, tzinfo=UTC))
HOUR = 60 * MINUTE


def live(*at_us: int) -> list[Said]:
    return [Said(at, False) for at in at_us]


def set_right(said: list[Said], since_us: int = NOW - SECOND, clock: TrackerClock | None = None) -> list[int]:
    """Seconds before now."""
    return [(NOW - at) / SECOND for at in (clock or TrackerClock()).set_right(said, since_us, NOW)]


@pytest.mark.parametrize("off", [-3 * DAY, -400 * DAY, -20 * MINUTE, 3 * MINUTE, 330 * MINUTE, 3 * DAY])
def test_live_packets_are_of_now_and_keep_their_distance(off: int) -> None:
    assert set_right(live(NOW + off - 20 * SECOND, NOW + off - 10 * SECOND, NOW + off)) == [20, 10, 0]


@pytest.mark.parametrize("off", [-9 * MINUTE, 0, 110 * SECOND])
def test_a_clock_that_is_right_is_left_alone(off: int) -> None:
    assert set_right(live(NOW + off)) == [-off / SECOND]


def test_what_waited_for_us_is_not_taken_for_a_wrong_clock() -> None:
    """Half an hour without a database: the packets were sent meanwhile, at the instants they name."""
    said = live(*(NOW - minute * MINUTE for minute in (30, 20, 10, 0)))
    assert set_right(said, since_us=NOW - 31 * MINUTE) == [1800, 1200, 600, 0]


def test_history_is_off_by_as_much_as_the_live_packets() -> None:
    clock = TrackerClock()
    said = [Said(NOW - 3 * DAY - 2 * HOUR, True), Said(NOW - 3 * DAY, False)]
    assert set_right(said, clock=clock) == [7200, 0]
    assert set_right([Said(NOW - 3 * DAY - HOUR, True)], clock=clock) == [3600]  # remembered
    assert set_right([Said(NOW - HOUR, True)], clock=clock) == [3600]  # written before the clock went wrong
    assert set_right(live(NOW), clock=clock) == [0]  # the clock was set
    assert set_right([Said(NOW - 3 * DAY, True)], clock=clock) == [3 * 86_400]


def test_history_with_a_right_clock_is_as_old_as_it_says() -> None:
    assert set_right([Said(NOW - 50 * DAY, True), Said(NOW, False)]) == [50 * 86_400, 0]


def test_a_packet_sent_twice_is_the_same_instant_though_the_network_was_slower() -> None:
    clock = TrackerClock()
    first = clock.set_right(live(NOW - 3 * DAY), NOW - SECOND, NOW)
    again = clock.set_right(live(NOW - 3 * DAY), NOW, NOW + 4 * SECOND)
    assert first == again == [NOW]


def test_a_clock_that_jumps_within_one_read_loses_no_packet() -> None:
    """Four months apart in one read: none may be refused as old, and no two may be one."""
    ago = set_right(live(NOW - 500 * DAY, NOW - 380 * DAY, NOW - 400 * DAY))
    assert len(set(ago)) == 3
    assert all(0 <= seconds < 0.001 for seconds in ago)


def test_lost_weeks_are_given_back_exactly() -> None:
    assert set_right(live(NOW - GPS_ROLLOVER - 5 * SECOND)) == [5]
    assert set_right([Said(NOW - GPS_ROLLOVER - HOUR, True)]) == [3600]
