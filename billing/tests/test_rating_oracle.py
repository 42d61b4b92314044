"""The integer engine beside an exact fraction oracle: random tariffs, sessions, zones and calendars.

`ORACLE_SESSIONS=100000` tries as many as the goal says (make rating-oracle).
"""

import json
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing.rating import Period, Rating, Reserved, TariffError, rate
from billing.tariff_terms import read_terms
from billing.tests.oracle import CannotBeDecided, Case, Stretch, price_of, random_case

SESSIONS = int(os.environ.get("ORACLE_SESSIONS", "600"))
BATCHES = 4


def ours(case: Case) -> Rating:
    return rate(
        elements=case.elements, periods=[period(stretch) for stretch in case.stretches], started_at=case.at,
        tz=ZoneInfo(case.zone), gst_percent=case.gst, is_interstate=case.is_interstate, terms=read_terms(case.terms),
        reserved=Reserved(*case.reserved) if case.reserved else None,
    )  # fmt: skip


def period(stretch: Stretch) -> Period:
    seconds, wh, is_parking, power, current = stretch
    return Period(plain(seconds), plain(wh), is_parking, power_w=power, current_a=current)


def plain(number: Fraction) -> Fraction | int:
    return int(number) if number.denominator == 1 else number


@pytest.mark.parametrize("batch", range(BATCHES))
def test_equals_the_oracle_in_every_head(batch: int) -> None:
    dice, priced = random.Random(f"fleetcharge {batch}"), 0
    for number in range(SESSIONS // BATCHES):
        case = random_case(dice)
        try:
            expected = price_of(case)
        except (CannotBeDecided, ArithmeticError):
            with pytest.raises(TariffError):
                ours(case)
            continue
        rated = ours(case)
        assert (rated.taxable_paise, *heads(rated)) == expected, (number, case)
        assert sum(line.amount_paise for line in rated.lines) == rated.taxable_paise
        priced += 1
    assert priced > SESSIONS // BATCHES // 2


def some(count: int, seed: str, **fields: Any) -> Iterator[tuple[random.Random, Case, Rating]]:
    """Random cases that have a price."""
    dice = random.Random(seed)
    while count:
        case = replace(random_case(dice), **fields)
        with suppress(TariffError):
            yield dice, case, ours(case)
            count -= 1


def without_steps(case: Case, **changes: Any) -> Case:
    elements = json.loads(json.dumps(case.elements))
    for component in (one for element in elements for one in element["price_components"]):
        component["step_size"] = 1
    return replace(case, elements=elements, **changes)


def test_where_a_session_is_cut_changes_nothing() -> None:
    """At any share of each of its periods, in any zone, over any change of the clock; steps apart."""
    for dice, drawn, _ in some(120, "cut"):
        case = without_steps(drawn)
        pieces: list[Stretch] = []
        for seconds, wh, is_parking, power, current in case.stretches:
            share = Fraction(dice.randint(1, 9), 10)
            pieces += [(seconds * part, wh * part, is_parking, power, current) for part in (share, 1 - share)]
        assert ours(replace(case, stretches=pieces)) == ours(case)


def test_the_order_of_periods_matters_to_no_tariff_without_restrictions() -> None:
    for dice, drawn, _ in some(120, "order", reserved=None):
        elements = [{"price_components": raw["price_components"]} for raw in drawn.elements]
        shuffled = dice.sample(drawn.stretches, len(drawn.stretches))
        case = replace(drawn, elements=elements)
        assert ours(replace(case, stretches=shuffled)) == ours(case)


def test_a_price_is_never_below_its_least_nor_above_its_most() -> None:
    terms = {"min_price": {"before_taxes": "50"}, "max_price": {"before_taxes": "200"}}
    prices = [rated.taxable_paise for _, _, rated in some(150, "limits", terms=terms)]
    assert all(50_00 <= paise <= 200_00 for paise in prices)
    assert {50_00, 200_00} < set(prices)  # both are reached, and there is something between


def test_the_same_version_gives_the_same_bytes_again() -> None:
    """Also after the tariff went through the database, and beside the price that had no explanation made."""
    for _, case, rated in some(120, "again"):
        stored = replace(case, elements=json.loads(json.dumps(case.elements)))
        assert ours(stored) == rated
        assert repr(ours(stored).lines) == repr(rated.lines)


def heads(rated: Rating) -> tuple[int, int, int]:
    return rated.tax.cgst_paise, rated.tax.sgst_paise, rated.tax.igst_paise
