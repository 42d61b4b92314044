"""The stretches of a session that a price is calculated from. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from billing.tariff_elements import Moment

NOTHING_FLOWS = Moment(Fraction(0), Fraction(0))


@dataclass(frozen=True)
class Period:
    """A stretch of a session during which energy flows evenly; `is_parking`: plugged in, not taking energy.

    `power_w` and `current_a` (all phases) are needed only by tariffs that ask for them. `offset_s` from the start of
    the session; None: it follows the period before.
    """

    seconds: Fraction | int
    energy_wh: Fraction | int
    is_parking: bool = False
    power_w: Fraction | int | None = None
    current_a: Fraction | int | None = None
    offset_s: Fraction | int | None = None

    @property
    def moment(self) -> Moment:
        if self.is_parking:
            return NOTHING_FLOWS
        power, current = self.power_w, self.current_a
        return Moment(None if power is None else Fraction(power), None if current is None else Fraction(current))


def seconds_of(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)
