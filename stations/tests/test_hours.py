"""When a site is open, by OCPI's opening times and the clock of its town."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stations import hours

KOLKATA = ZoneInfo("Asia/Kolkata")
MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=KOLKATA).astimezone(UTC)
HOUR = 3600.0


def line(weekday, begins, ends):
    return {"weekday": weekday, "period_begin": begins, "period_end": ends}


def opens(times, *, days=1, zone=KOLKATA, since=MONDAY):
    found = hours.windows(times, zone=zone, since=since, until=since + timedelta(days=days))
    return found and tuple((begins / HOUR, ends / HOUR) for begins, ends in found)


def regular(*lines, **more):
    return {"twentyfourseven": False, "regular_hours": list(lines), **more}


def test_days_and_times_are_those_of_the_site():
    times = regular(line(1, "08:00", "12:00"), line(1, "13:30", "20:00"), line(2, "09:00", "10:00"))
    assert opens(times, days=2) == ((8, 12), (13.5, 20), (33, 34))
    assert opens(times, since=MONDAY + timedelta(hours=9)) == ((0, 3), (4.5, 11))


def test_a_night_goes_over_midnight_also_from_the_day_before():
    assert opens(regular(line(7, "22:00", "06:00"), line(1, "22:00", "06:00"))) == ((0, 6), (22, 24))


@pytest.mark.parametrize(
    ("times", "window"),
    [
        (line(1, "00:00", "24:00"), (0, 24)),
        (line(1, "00:00", "00:00"), (0, 24)),
        (line("1", "8:00", "20:00"), (8, 20)),
        (line(1, "08:00:00", "20:00:00"), (8, 20)),
    ],
)
def test_odd_spellings_are_understood(times, window):
    assert opens(regular(times)) == (window,)


def test_exceptions_add_to_the_regular_hours_and_closings_win():
    def exceptional(begins, ends):
        return {"period_begin": f"{MONDAY + timedelta(hours=begins):%Y-%m-%dT%H:%M:%SZ}",
                "period_end": f"{MONDAY + timedelta(hours=ends):%Y-%m-%dT%H:%M:%S}"}  # fmt: skip

    times = regular(line(1, "08:00", "20:00"), exceptional_openings=[exceptional(19, 23)])
    assert opens(times) == ((8, 23),)
    times["exceptional_closings"] = [exceptional(12, 13), exceptional(22, 30)]
    assert opens(times) == ((8, 12), (13, 22))
    always = {"twentyfourseven": True, "exceptional_closings": [exceptional(12, 13)]}
    assert opens(always) == ((0, 12), (13, 24))


def test_a_site_that_is_closed_all_the_time_in_question_has_no_window():
    assert opens(regular(line(3, "08:00", "20:00"))) == ()


def test_a_clock_that_jumps_costs_an_hour():
    berlin = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 3, 29, 0, 0, tzinfo=berlin)
    assert opens(regular(line(7, "01:00", "05:00")), zone=berlin, since=night.astimezone(UTC)) == ((1, 4),)


@pytest.mark.parametrize(
    "times",
    [
        None, {}, [], "always", {"twentyfourseven": True}, {"regular_hours": None}, regular(),
        regular(line(8, "08:00", "20:00")), regular(line(1, "25:00", "26:00")), regular(line(1, None, "20:00")),
        regular("Monday"), regular(exceptional_openings=[{"period_begin": "soon", "period_end": "later"}]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_closes_nothing(times):
    assert opens(times) is None


@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(0, 24 * 60), st.integers(0, 24 * 60)), min_size=1, max_size=6),
    st.integers(0, 14 * 24 * 60),
)
def test_any_hours_agree_with_looking_at_the_clock(lines, minute):
    """Minute by minute: open when a line of that weekday, or one of the day before over midnight, says so."""
    times = regular(*(line(day, *(f"{m // 60:02}:{m % 60:02}" for m in span)) for day, *span in lines))
    at = minute * 60.0
    local = (MONDAY + timedelta(minutes=minute)).astimezone(KOLKATA)
    now, today, yesterday = local.hour * 60 + local.minute, local.isoweekday(), (local.isoweekday() - 2) % 7 + 1
    is_open = any(
        (day == today and begins <= now and (now < ends or ends <= begins))
        or (day == yesterday and ends <= begins and now < begins and now < ends)
        for day, begins, ends in lines
    )
    found = hours.windows(times, zone=KOLKATA, since=MONDAY, until=MONDAY + timedelta(days=15))
    assert any(begins <= at < ends for begins, ends in found) is is_open
    assert all(a[1] < b[0] for a, b in pairwise(found))
