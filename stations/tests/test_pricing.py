"""Prices as people say them become OCPI tariff elements, and come back from them."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from billing import rating
from stations.pricing import Hours, Prices, elements_of, prices_of, read_hours, write_hours

FULL = Prices(Decimal(18), Decimal(10), Decimal(60), (Hours(time(22), time(6), Decimal("12.5")),))


def test_elements_are_what_ocpi_says() -> None:
    assert elements_of(FULL) == [
        {
            "price_components": [{"type": "ENERGY", "price": "12.50", "step_size": 1}],
            "restrictions": {"start_time": "22:00", "end_time": "06:00"},
        },
        {
            "price_components": [
                {"type": "ENERGY", "price": "18.00", "step_size": 1},
                {"type": "FLAT", "price": "10.00", "step_size": 1},
                {"type": "PARKING_TIME", "price": "60.00", "step_size": 60},
            ]
        },
    ]


@pytest.mark.parametrize("prices", [FULL, Prices(Decimal("18.125")), Prices(Decimal(0), idle_per_hour=Decimal(100))])
def test_they_come_back(prices: Prices) -> None:
    assert prices_of(elements_of(prices)) == prices


@pytest.mark.parametrize(
    "elements", [[], [{}], [{"price_components": [{"type": "TIME", "price": "1", "step_size": 1}]}], "x", None]
)
def test_a_tariff_of_another_making_is_not_taken_for_ours(elements: object) -> None:
    assert prices_of(elements) is None


@pytest.mark.parametrize(
    ("hour_utc", "taxable"), [(6, 18 * 10 + 10 + 30), (18, 12.5 * 10 + 10 + 30)]
)  # 11:30 and 23:30 in Bengaluru
def test_the_rating_charges_what_was_written(hour_utc: int, taxable: float) -> None:
    from zoneinfo import ZoneInfo

    paise = rating.quote(
        elements=elements_of(FULL), energy_wh=10_000, duration_s=1200, idle_s=1800,
        at=datetime(2026, 11, 20, hour_utc, tzinfo=UTC), tz=ZoneInfo("Asia/Kolkata"), gst_percent=0,
    )  # fmt: skip
    assert paise == taxable * 100


def test_hours_are_written_as_they_are_read() -> None:
    rows = read_hours(" 22:00-06:00 12.5\n\n9:30 - 11:00 21\n")
    assert rows == (Hours(time(22), time(6), Decimal("12.5")), Hours(time(9, 30), time(11), Decimal(21)))
    assert read_hours(write_hours(rows)) == rows


@pytest.mark.parametrize(
    "text", ["22-6 12", "25:00-06:00 1", "08:00-09:00 -1", "08:00-08:00 1", "08:00-10:00 1\n09:00-11:00 2"]
)
def test_hours_that_make_no_sense_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_hours(text)
