"""Realistic sessions and tariffs for the rating figures: a day of an Indian city, one to eight periods each."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.rating import Period

ZONE = ZoneInfo("Asia/Kolkata")
WORKDAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]


def _component(price: str, kind: str = "ENERGY", step: int = 1) -> dict[str, Any]:
    return {"type": kind, "price": price, "step_size": step}


_USUAL = {"price_components": [_component("18.50"), _component("60", "PARKING_TIME", 60)]}
_SOLAR = {"price_components": [_component("13")], "restrictions": {"start_time": "09:00", "end_time": "16:00"}}
TARIFFS: dict[str, list[dict[str, Any]]] = {
    "plain tariff": [_USUAL],
    "solar hours": [_SOLAR, _USUAL],
    "solar hours, evening peak on workdays": [
        _SOLAR,
        {
            "price_components": [_component("22")],
            "restrictions": {"start_time": "18:00", "end_time": "22:00", "day_of_week": WORKDAYS},
        },
        _USUAL,
    ],
    "first 20 kWh cheaper, parking after a grace": [
        {"price_components": [_component("13")], "restrictions": {"max_kwh": 20}},
        {"price_components": [_component("60", "PARKING_TIME", 60)], "restrictions": {"min_duration": 4_800}},
        {"price_components": [_component("18.50")]},
    ],
}


def sessions(count: int = 20_000) -> list[tuple[datetime, list[Period]]]:
    dice = random.Random("rating")
    return [_session(dice) for _ in range(count)]


def _session(dice: random.Random) -> tuple[datetime, list[Period]]:
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=dice.randint(0, 30 * 86_400))
    periods = [Period(dice.randint(60, 1_200), dice.randint(100, 5_000)) for _ in range(dice.randint(1, 8))]
    if len(periods) > 1 and dice.random() < 0.5:
        periods[-1] = Period(dice.randint(60, 1_800), 0, is_parking=True)
    return at, periods
