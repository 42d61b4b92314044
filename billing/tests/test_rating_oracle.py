"""The integer engine beside an exact fraction oracle: random tariffs, sessions, zones and calendars.

`FLEETCHARGE_ORACLE_SESSIONS=100000` tries as many as the goal says (make rating-oracle).
"""

import os
import random
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from billing.rating import Period, Rating, Reserved, TariffError, rate
from billing.tariff_terms import read_terms
from billing.tests.oracle import CannotBeDecided, Case, Stretch, price_of, random_case

SESSIONS = int(os.environ.get("FLEETCHARGE_ORACLE_SESSIONS", "600"))
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


def heads(rated: Rating) -> tuple[int, int, int]:
    return rated.tax.cgst_paise, rated.tax.sgst_paise, rated.tax.igst_paise
