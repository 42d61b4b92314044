"""What a page says about a sender's clock and units."""

import pytest

from vehicles.explaining import Note, explain
from vehicles.fixes import CLOCK_CORRECTED, INDIAN_CLOCK, LATE, SECOND, Fix


def drive(factor: float = 1, flags: int = 0, soc: float | None = 50, count: int = 12) -> list[Fix]:
    """At 36 km/h, a ping in ten seconds."""
    return [
        Fix("", n * 10 * SECOND, 12.9 + n * 100 / 111_195, 77.6, 36 * factor, soc_percent=soc, flags=flags)
        for n in range(count)
    ]


def test_nothing_is_said_of_a_healthy_sender() -> None:
    assert explain(drive()) == []
    assert explain([]) == []


@pytest.mark.parametrize(
    ("factor", "code"),
    [(1 / 3.6, "speed_in_mps"), (1 / 1.852, "speed_in_knots"), (1 / 1.609, "speed_in_mph"), (3.6, "speed_times_3_6")],
)
def test_a_speed_in_another_unit_is_found_by_the_way_that_was_driven(factor: float, code: str) -> None:
    assert explain(drive(factor)) == [Note(code, 11)]
    assert explain(drive(factor, count=4)) == []  # too little to say


def test_a_clock_that_keeps_indian_time_is_told_from_one_that_is_wrong() -> None:
    assert explain(drive(flags=CLOCK_CORRECTED | INDIAN_CLOCK)) == [Note("indian_clock", 12)]
    assert explain(drive(flags=CLOCK_CORRECTED)) == [Note("clock_ahead", 12)]


def test_a_minority_is_no_habit() -> None:
    fixes = drive()
    fixes[3].flags = LATE
    assert explain(fixes) == []


def test_what_a_charge_may_mean() -> None:
    assert explain(drive(soc=None)) == [Note("no_charge", 12)]
    assert explain(drive(soc=0.4)) == [Note("charge_is_a_fraction", 12)]
