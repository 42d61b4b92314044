"""Do two policies differ? Means with bootstrap intervals, resampled by vehicle, because vehicles were drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 2000
LEVEL_PERCENT = 95
FEWEST_VEHICLES = 5
"""Of each policy; with fewer an interval would promise what it cannot hold."""
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean per plan and where it lies in 95 of 100 such experiments; None: too few vehicles to say."""

    mean: float
    low: float | None
    high: float | None

    @property
    def is_sure(self) -> bool:
        """Zero lies outside: of a difference, that there is one."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Sample:
    """Sum of a figure and number of plans, per vehicle."""

    sums: Values
    counts: Values

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.counts.sum()) if len(self.sums) else 0.0


def sample_of(by_vehicle: Mapping[int, Sequence[float]]) -> Sample:
    """Vehicles without plans say nothing and are left out."""
    rows = [values for _, values in sorted(by_vehicle.items()) if values]
    return Sample(np.array([sum(row) for row in rows], float), np.array([len(row) for row in rows], float))


def interval(sample: Sample, *, seed: int) -> Interval:
    if len(sample.sums) < FEWEST_VEHICLES:
        return Interval(sample.mean, None, None)
    return Interval(sample.mean, *_middle(_means(sample, np.random.default_rng(seed))))


def difference(one: Sample, other: Sample, *, seed: int) -> Interval:
    """`one` less `other`, per plan."""
    mean = one.mean - other.mean
    if min(len(one.sums), len(other.sums)) < FEWEST_VEHICLES:
        return Interval(mean, None, None)
    rng = np.random.default_rng(seed)
    return Interval(mean, *_middle(_means(one, rng) - _means(other, rng)))


def _means(sample: Sample, rng: np.random.Generator) -> Values:
    picks = rng.integers(0, len(sample.sums), size=(DRAWS, len(sample.sums)))
    means: Values = sample.sums[picks].sum(axis=1) / sample.counts[picks].sum(axis=1)
    return means


def _middle(values: Values) -> tuple[float, float]:
    tail = (100 - LEVEL_PERCENT) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
