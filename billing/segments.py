"""A session cut where a restriction of its tariff could change its mind: at clock times, kWh and durations. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from itertools import pairwise
from math import ceil

from billing.tariff_elements import Element, Moment

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


@dataclass(frozen=True)
class Segment:
    """A piece of a period on which no restriction changes its mind. Offsets from the start of the session."""

    offset_s: Fraction
    energy_before_wh: Fraction
    seconds: Fraction
    energy_wh: Fraction
    is_parking: bool
    moment: Moment


def cut(elements: Sequence[Element], periods: Sequence[Period], started_at: datetime, tz: tzinfo) -> list[Segment]:
    """The pieces in order; one without extent when there are no periods."""
    at_times = _time_cuts(elements, started_at, _length_s(periods), tz)
    at_energies = sorted({limit for element in elements for limit in element.energy_limits_wh})
    segments: list[Segment] = []
    offset, energy = Fraction(0), Fraction(0)
    for period in periods:
        offset = offset if period.offset_s is None else Fraction(period.offset_s)
        segments += _pieces(period, offset, energy, at_times, at_energies)
        offset, energy = offset + Fraction(period.seconds), energy + Fraction(period.energy_wh)
    return segments or [Segment(Fraction(0), Fraction(0), Fraction(0), Fraction(0), False, NOTHING_FLOWS)]


def _length_s(periods: Sequence[Period]) -> Fraction:
    end, latest = Fraction(0), Fraction(0)
    for period in periods:
        end = (end if period.offset_s is None else Fraction(period.offset_s)) + Fraction(period.seconds)
        latest = max(latest, end)
    return latest


def _pieces(
    period: Period, offset: Fraction, energy: Fraction, at_times: Sequence[Fraction], at_energies: Sequence[Fraction]
) -> list[Segment]:
    seconds, energy_wh = Fraction(period.seconds), Fraction(period.energy_wh)
    cuts = _shares(at_times, offset, seconds) | _shares(at_energies, energy, energy_wh)
    marks = [Fraction(0), *sorted(cuts), Fraction(1)]
    return [
        Segment(
            offset + low * seconds, energy + low * energy_wh, (high - low) * seconds, (high - low) * energy_wh,
            period.is_parking, period.moment,
        )
        for low, high in pairwise(marks)
    ]  # fmt: skip


def _shares(cuts: Iterable[Fraction], start: Fraction, length: Fraction) -> set[Fraction]:
    """Which cuts fall inside, as a share of the length."""
    return {(cut - start) / length for cut in cuts if start < cut < start + length}


def _time_cuts(elements: Sequence[Element], started_at: datetime, total_s: Fraction, tz: tzinfo) -> list[Fraction]:
    """Offsets where a clock time, a local day or a duration limit is crossed."""
    cuts = {limit for element in elements for limit in element.duration_limits_s}
    clock_times = {time for element in elements for time in element.clock_cuts}
    if clock_times:
        ended_at = started_at + timedelta(seconds=ceil(total_s))
        day, last_day = started_at.astimezone(tz).date(), ended_at.astimezone(tz).date()
        while day <= last_day:
            for time in clock_times:
                for fold in (0, 1):  # a wall-clock time happens twice when clocks go back
                    instant = datetime.combine(day, time, tz).replace(fold=fold)
                    cuts.add(seconds_of(instant.astimezone(UTC) - started_at.astimezone(UTC)))
            day += timedelta(days=1)
        cuts |= _clock_changes(started_at, ended_at, tz)
    return sorted(cuts)


def _clock_changes(started_at: datetime, ended_at: datetime, tz: tzinfo) -> set[Fraction]:
    """The second at which daylight saving starts or ends, if within the session."""
    low, high = started_at.astimezone(UTC), ended_at.astimezone(UTC)
    if low.astimezone(tz).utcoffset() == high.astimezone(tz).utcoffset():
        return set()
    low = low.replace(microsecond=0)
    start = low
    before = low.astimezone(tz).utcoffset()
    first, last = 0, ceil((high - low).total_seconds())
    while last - first > 1:
        middle = (first + last) // 2
        if (start + timedelta(seconds=middle)).astimezone(tz).utcoffset() == before:
            first = middle
        else:
            last = middle
    return {seconds_of(start + timedelta(seconds=last) - started_at.astimezone(UTC))}


def seconds_of(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)
