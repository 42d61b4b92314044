"""How much of which price component a session used: whole numbers all the way, however it is cut. Pure.

What decides (clock, kWh, duration, what flows) is looked at where a piece begins; a piece ends wherever a restriction
could change its mind. A part of a period has its share of the energy: a fraction whose denominator is the length of
the period, put aside until the end.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, tzinfo
from fractions import Fraction
from itertools import pairwise
from math import lcm

from billing.local_clock import EPOCH, SECONDS_PER_DAY, offsets
from billing.prepared import NOTHING, WITHOUT_END, Chosen, Prepared, Row, choose, whole
from billing.segments import Period
from billing.tariff_elements import Number

NO_PERIODS = (Period(0, 0),)
ENERGY, TIME, PARKING = 0, 1, 2


class Count:
    """Per component, in order of first use: `quantities` / `scale` in Wh, seconds or sessions, rounded up to steps."""

    __slots__ = ("_day", "_last", "_late", "_parts", "_second", "_tz", "prepared", "quantities", "scale")

    def __init__(self, prepared: Prepared, periods: Sequence[Period], started_at: datetime, tz: tzinfo) -> None:
        since = started_at - EPOCH
        self.prepared, self.scale = prepared, 1
        self.quantities: dict[int, Number] = {}
        self._day, self._second, self._tz = since.days, since.seconds, tz
        self._late = Fraction(since.microseconds, 1_000_000) if since.microseconds else None
        self._parts: list[tuple[int, int, int]] = []
        self._last = [NOTHING, NOTHING, NOTHING]
        self._walk(periods or NO_PERIODS)
        if self._parts:
            self._put_together()
        if prepared.has_steps:
            self._round_up_to_steps()

    @property
    def total(self) -> tuple[int, int]:
        """Numerator and denominator of the exact price in paise."""
        weights = self.prepared.weights
        exact = sum([weights[index] * amount for index, amount in self.quantities.items()])
        return exact.numerator, exact.denominator * self.scale * self.prepared.denominator

    # --- along the session --------------------------------------------------------------------------------------
    def _walk(self, periods: Sequence[Period]) -> None:  # noqa: C901 (a call would cost as much as the work)
        """A period in which nothing can change is added as it is, the others are cut. The hot loop of rating.

        `next_s` and `next_wh` are the limits ahead: until then the same components apply.
        """
        quantities, last = self.quantities, self._last
        unknown = -WITHOUT_END if self.prepared.is_gated else WITHOUT_END
        offset: Number = 0
        drawn: Number = 0
        next_s: Number = unknown
        next_wh: Number = unknown
        row, ends = self._row_at(0)
        flat, energy, time, parking, gates, cells = row
        for period in periods:
            if period.offset_s is not None and period.offset_s != offset:
                offset, next_s = whole(period.offset_s), unknown
                row, ends = self._row_at(offset)
                flat, energy, time, parking, gates, cells = row
            seconds, wh = period.seconds, period.energy_wh
            end = offset + seconds
            if offset >= next_s or drawn >= next_wh:
                (next_s, next_wh), found = self._cell(row, offset, drawn)
                if found is not None:
                    flat, energy, time, parking = found
            if end >= ends or end > next_s or drawn + wh > next_wh:
                self._cut(period, offset, drawn)
                if end >= ends:
                    row, ends = self._row_at(end)
                    next_s = unknown
                    flat, energy, time, parking, gates, cells = row
            else:
                if cells is None and gates is not None:
                    flat, energy, time, parking = self._chosen(row, period, drawn, offset, 1)
                if flat >= 0:
                    quantities[flat] = 1
                if wh and energy >= 0:
                    quantities[energy] = quantities.get(energy, 0) + wh
                    last[ENERGY] = energy
                if seconds:
                    if period.is_parking:
                        if parking >= 0:
                            quantities[parking] = quantities.get(parking, 0) + seconds
                            last[PARKING] = parking
                    elif time >= 0:
                        quantities[time] = quantities.get(time, 0) + seconds
                        last[TIME] = time
            offset = end
            drawn += wh
            if wh < 0:  # given back: a limit that was passed lies ahead again
                next_s = unknown

    def _cell(self, row: Row, offset: Number, drawn: Number) -> tuple[tuple[Number, Number], Chosen | None]:
        """The next limits of duration and kWh, and what applies until then; None where the row or the moment says."""
        at_s, at_wh, cells = self.prepared.at_s, self.prepared.at_wh, row.cells
        key = bisect_right(at_s, offset), bisect_right(at_wh, drawn)
        ahead = (
            at_s[key[0]] if key[0] < len(at_s) else WITHOUT_END,
            at_wh[key[1]] if key[1] < len(at_wh) else WITHOUT_END,
        )
        if cells is None or row.gates is None:
            return ahead, None
        found = cells.get(key)
        if found is None:
            flat, energy, time, parking = (choose(chain, drawn, offset, 1, NO_PERIODS[0]) for chain in row.gates)
            found = cells[key] = flat, energy, time, parking
        return ahead, found

    def _row_at(self, offset: Number) -> tuple[Row, Number]:
        """What the clock allows at `offset`, and until when it surely stays so (a fraction of a second early)."""
        prepared, day = self.prepared, self._day
        if not prepared.is_by_clock:
            return prepared.rows_of(0)[0], WITHOUT_END
        exact = self._second + offset if self._late is None else self._second + offset + self._late
        second = exact if type(exact) is int else exact.__floor__()
        passed = second
        if not 0 <= second < SECONDS_PER_DAY:
            day, second = day + second // SECONDS_PER_DAY, second % SECONDS_PER_DAY
        for until, east in offsets(self._tz, day):  # noqa: B007 (the one that holds)
            if second < until:
                break
        local = second + east
        of_day, boundaries = local % SECONDS_PER_DAY, prepared.boundaries
        index = bisect_right(boundaries, of_day + (exact - passed))
        ahead = (boundaries[index] if index < len(boundaries) else SECONDS_PER_DAY) - of_day
        ends = passed - self._second + min(ahead, until - second)
        row = prepared.rows_of(day + local // SECONDS_PER_DAY)[index - 1]
        return row, ends if self._late is None else ends - 1

    def _chosen(self, row: Row, period: Period, drawn: Number, offset: Number, scale: Number) -> Chosen:
        """Only for what the period has of a dimension: what nobody measured is asked for where it matters alone."""
        if row.gates is None:
            return row[:4]
        flat, energy, time, parking = row.gates
        seconds = period.seconds
        return (
            choose(flat, drawn, offset, scale, period),
            choose(energy, drawn, offset, scale, period) if period.energy_wh else NOTHING,
            choose(time, drawn, offset, scale, period) if seconds and not period.is_parking else NOTHING,
            choose(parking, drawn, offset, scale, period) if seconds and period.is_parking else NOTHING,
        )

    # --- a period in pieces -------------------------------------------------------------------------------------
    def _cut(self, period: Period, offset: Number, drawn: Number) -> None:
        seconds, wh = whole(period.seconds), whole(period.energy_wh)
        stretches = self._stretches(offset, offset + seconds)
        at_s = {begins - offset for begins, _ in stretches[1:]}
        at_s |= {limit - offset for limit in self.prepared.at_s if offset < limit < offset + seconds}
        at_wh = {limit - drawn for limit in self.prepared.at_wh if drawn < limit < drawn + wh}
        marks, scale = _marks(at_s, at_wh, seconds, wh)
        for low, high in pairwise(marks):
            at, before = offset * scale + seconds * low, drawn * scale + wh * low
            row = next(row for begins, row in reversed(stretches) if begins * scale <= at)
            chosen = self._chosen(row, period, before, at, scale)
            self._add(period, chosen, wh * (high - low), seconds * (high - low), scale)

    def _stretches(self, offset: Number, end: Number) -> list[tuple[Number, Row]]:
        """Where within a period the clock changes its mind; the first begins with it."""
        row, ends = self._row_at(offset)
        found = [(offset, row)]
        while (begins := ends if self._late is None else ends + 1 - self._late) < end:
            row, ends = self._row_at(begins)
            found.append((begins, row))
        return found

    def _add(self, period: Period, chosen: Chosen, wh: Number, seconds: Number, scale: Number) -> None:
        flat, energy, time, parking = chosen
        if flat >= 0:
            self.quantities[flat] = 1
        if wh and energy >= 0:
            self._put(energy, wh, scale)
            self._last[ENERGY] = energy
        timed, kind = (parking, PARKING) if period.is_parking else (time, TIME)
        if seconds and timed >= 0:
            self._put(timed, seconds, scale)
            self._last[kind] = timed

    def _put(self, index: int, amount: Number, scale: Number) -> None:
        known = self.quantities.setdefault(index, 0)
        if type(amount) is int and type(scale) is int and amount % scale:
            self._parts.append((index, amount, scale))
        else:
            self.quantities[index] = known + whole(Fraction(amount) / scale)

    def _put_together(self) -> None:
        """Everything on one denominator."""
        self.scale = scale = lcm(*[each for _, _, each in self._parts])
        quantities = self.quantities = {index: amount * scale for index, amount in self.quantities.items()}
        for index, amount, denominator in self._parts:
            quantities[index] += amount * (scale // denominator)

    # --- steps --------------------------------------------------------------------------------------------------
    def _round_up_to_steps(self) -> None:
        """The surplus of a total goes to the last component of its dimension; TIME before PARKING_TIME stays exact."""
        energy, time, parking = self._last
        for index in (energy, parking if parking >= 0 else time):
            step = self.prepared.steps[index] if index >= 0 else 0
            if step > 1:
                name = self.prepared.components[index][0]
                total = sum(
                    amount for each, amount in self.quantities.items() if self.prepared.components[each][0] == name
                )
                self.quantities[index] += -total % (step * self.scale)


def _marks(at_s: set[Number], at_wh: set[Number], seconds: Number, wh: Number) -> tuple[list[Number], Number]:
    """Where to cut, from 0 to the second value, which is the whole period."""
    if at_s and at_wh:
        length = seconds * wh
        at = {mark * wh for mark in at_s} | {mark * seconds for mark in at_wh}
    else:
        length, at = (seconds if at_s else wh, at_s or at_wh) if at_s or at_wh else (1, set())
    if type(length) is not int or any(type(mark) is not int for mark in at):
        length, at = 1, {Fraction(mark) / length for mark in at}
    return [0, *sorted(at), length], length
