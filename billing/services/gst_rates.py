"""The GST that charging is priced with: of the day on which a session began, by the same rows as its invoice."""

import time
from datetime import datetime
from fractions import Fraction

from billing.gst.numbering import INDIA, day_in_india
from billing.invoicing.services.rules import MissingRule, Rules
from billing.rating import TariffError

KNOWN_FOR_S = 30.0
"""Until another process prices by a row that was added here."""

_rules: Rules | None = None
_until = 0.0


def percent_at(at: datetime) -> int | Fraction:
    """Raises TariffError where no row says it: nothing is priced by a guess."""
    try:
        rate = _known().at(day_in_india(at)).charging_rate
    except MissingRule as error:
        raise TariffError(str(error)) from error
    return rate.numerator if rate.denominator == 1 else rate


def known_at(at: datetime) -> int | Fraction | None:
    """As `percent_at`, for an estimate that may be left out."""
    try:
        return percent_at(at)
    except TariffError:
        return None


def shown_at(at: datetime) -> str:
    """For people; a dash where nobody knows."""
    percent = known_at(at)
    return "—" if percent is None else f"{float(percent):g}"


def forget() -> None:
    """After a row was changed."""
    global _rules
    _rules = None


def _known() -> Rules:
    global _rules, _until
    rules = _rules
    if rules is None or time.monotonic() > _until:
        rules = _rules = Rules(day_in_india(datetime.now(tz=INDIA)))
        _until = time.monotonic() + KNOWN_FOR_S
    return rules
