"""Will a plug be free? What is usual at that hour of the week, and what is left by then of how it is now."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
States = npt.NDArray[np.int8]

HOURS = 168
"""Of a week, from Monday 00:00 where the plug is."""
BUSY, FREE, DARK = 1, 0, -1
"""Dark: out of order or not heard of. It counts neither as busy nor as free."""
MARKS_PER_HOUR = 4
PRIOR_LOOKS = 8.0
"""What wider knowledge counts for, in hours that were looked at."""
KEEPS = 0.3
"""What is left of a deviation after an hour, where nothing is known: sessions last about as long."""
FEWEST_IN_STEP = 200
NO_CALIBRATION: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Profile:
    """Share of the time that a plug of a group is busy, by the hour of the week, and how long a deviation keeps."""

    busy: Numbers
    keeps: float

    def p_busy(self, *, is_busy: bool, hour: float, ahead_hours: float) -> float:
        """Chance that a plug which is (not) busy at this hour of the week is so that much later."""
        now, then = self._usual(hour), self._usual(hour + ahead_hours)
        expected = then + self.keeps**ahead_hours * (float(is_busy) - now)
        return float(min(1.0, max(0.0, expected)))

    def _usual(self, hour: float) -> float:
        return float(self.busy[int(hour) % HOURS])


@dataclass
class Tally:
    """Looks at plugs, by the hour of the week: how often busy, how often at all."""

    busy: Numbers
    looks: Numbers

    @classmethod
    def empty(cls) -> "Tally":
        return cls(np.zeros(HOURS), np.zeros(HOURS))

    def add(self, states: States, hours: npt.NDArray[np.int64]) -> None:
        """`states` at marks, `hours` of the week of each mark; each hour of each plug counts as one look."""
        known = states != DARK
        self.looks += np.bincount(hours[known], minlength=HOURS) / MARKS_PER_HOUR
        self.busy += np.bincount(hours[states == BUSY], minlength=HOURS) / MARKS_PER_HOUR

    @property
    def share(self) -> float:
        return float(self.busy.sum() / self.looks.sum()) if self.looks.sum() else 0.0


def usual(own: Tally, wider: Numbers | float) -> Numbers:
    """Busy share by hour: the own looks, and wider knowledge where they are few."""
    return (own.busy + PRIOR_LOOKS * wider) / (own.looks + PRIOR_LOOKS)


def states_at(times: Sequence[float], states: Sequence[int], marks: Numbers) -> States:
    """The state at each mark: `states[n]` holds from `times[n]` on; dark before the first."""
    rows = np.searchsorted(np.asarray(times, float), marks, side="right")
    return np.concatenate([[DARK], np.asarray(states)]).astype(np.int8)[rows]


def kept(states: Sequence[States], hours: npt.NDArray[np.int64], busy: Numbers) -> float:
    """What is left of a deviation from the usual after an hour: least squares over all plugs, shrunk to KEEPS."""
    product = square = 0.0
    for row in states:
        deviation, known = row - busy[hours], row != DARK
        pairs = known[:-MARKS_PER_HOUR] & known[MARKS_PER_HOUR:]
        before, after = deviation[:-MARKS_PER_HOUR][pairs], deviation[MARKS_PER_HOUR:][pairs]
        product, square = product + float(before @ after), square + float(before @ before)
    return float(np.clip((product + KEEPS * PRIOR_LOOKS) / (square + PRIOR_LOOKS), 0.0, 0.999))


def calibration(predicted: Sequence[float], came_true: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    """Points (what was said, what came of it) that only rise: small steps, those pooled that do not.

    Empty where there are too few forecasts to learn from.
    """
    if len(predicted) < 2 * FEWEST_IN_STEP:
        return NO_CALIBRATION
    order = np.argsort(predicted, kind="stable")
    said, came = np.asarray(predicted, float)[order], np.asarray(came_true, float)[order]
    blocks: list[tuple[float, float, int]] = []  # sums of said and of came, count
    count = len(said) // FEWEST_IN_STEP
    for parts in zip(np.array_split(said, count), np.array_split(came, count), strict=True):
        blocks.append((float(parts[0].sum()), float(parts[1].sum()), len(parts[0])))
        while len(blocks) > 1 and _is_one_step(blocks[-2], blocks[-1]):
            last = blocks.pop()
            blocks[-1] = (blocks[-1][0] + last[0], blocks[-1][1] + last[1], blocks[-1][2] + last[2])
    return tuple((a / size, b / size) for a, b, size in blocks)


def _is_one_step(lower: tuple[float, float, int], upper: tuple[float, float, int]) -> bool:
    """They said the same, or what came of the upper one does not rise."""
    is_same = upper[0] / upper[2] - lower[0] / lower[2] < 1e-9
    return is_same or upper[1] * lower[2] <= lower[1] * upper[2]


def calibrated(points: Sequence[Sequence[float]], probability: float) -> float:
    """What came of forecasts that said this; the forecast itself where nothing was learned."""
    if not points:
        return probability
    return float(np.interp(probability, [point[0] for point in points], [point[1] for point in points]))


def brier(predicted: Sequence[float], came_true: Sequence[bool]) -> float:
    return float(np.mean((np.asarray(predicted, float) - np.asarray(came_true, float)) ** 2))


def mean_error(predicted: Sequence[float], came_true: Sequence[bool]) -> float:
    """Mean absolute error of the probability."""
    return float(np.mean(np.abs(np.asarray(predicted, float) - np.asarray(came_true, float))))
