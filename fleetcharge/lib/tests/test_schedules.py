"""Sweeps keep their pace, each at times of its own."""

import pickle
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.schedules import crontab

from fleetcharge.celery import SCHEDULE
from fleetcharge.lib.schedules import Spread, spread_out

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def at(schedule: Spread, seconds: float) -> Spread:
    schedule.nowfun = lambda: MIDNIGHT + timedelta(seconds=seconds)
    return schedule


@pytest.fixture
def often() -> Spread:
    """At 3.5 s, 13.5 s, 23.5 s past the minute."""
    return Spread(10.0, 3.5, app=Celery("spread", broker="memory://", set_as_current=False))


@pytest.mark.parametrize(
    ("last", "now", "is_due", "next_seconds"),
    [
        (0, 1, False, 2.5),
        (0, 3.5, True, 10.0),
        (0, 4, True, 9.5),
        (4, 5, False, 8.5),
        (3.5, 13.4, False, 0.1),
        (3.5, 13.5, True, 10.0),
        (-3600, 1, True, 2.5),  # it was down: once, then as usual
        (5, 1, False, 12.5),  # the clock was set back
    ],
)
def test_it_is_due_at_its_own_times(often: Spread, last: float, now: float, is_due: bool, next_seconds: float) -> None:
    said = at(often, now).is_due(MIDNIGHT + timedelta(seconds=last))
    assert (said.is_due, round(said.next, 6)) == (is_due, next_seconds)


def test_it_is_kept_in_the_file_of_the_beat_and_known_again(often: Spread) -> None:
    again = pickle.loads(pickle.dumps(often))
    assert again == often and hash(again) == hash(often)
    assert often != Spread(10.0, 4.0) and often != Spread(20.0, 3.5)


def test_our_sweeps_are_never_due_all_at_once() -> None:
    spread = spread_out(SCHEDULE)
    assert spread == spread_out(SCHEDULE) and spread.keys() == SCHEDULE.keys()
    due: Counter[int] = Counter()
    for name, entry in spread.items():
        pace = entry["schedule"]
        if isinstance(SCHEDULE[name]["schedule"], crontab):
            assert pace is SCHEDULE[name]["schedule"]
            continue
        assert pace.seconds == SCHEDULE[name]["schedule"]
        due.update(range(int(pace.phase_seconds * 4), 4 * 3600, round(pace.seconds * 4)))
    assert max(due.values()) <= 8  # in a quarter of a second; together they were fifty
