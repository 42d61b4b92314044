"""The charge that nobody measures: what metres and meters make of the last reading, and how sure that is; no Django.

A reading loses what the distance since then takes (Wh per km of the model x the vehicle's own appetite) and gains what
chargers metered. Nothing but another reading makes the estimate surer.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIGMA_PERCENT: Mapping[str, float] = {"measured": 0.5, "charger": 1.0, "driver": 4.0}
TENTH = 1.2816  # sigmas below the middle lies what nine of ten vehicles have at least
APPETITE_VARIANCE = 0.2**2  # of a vehicle of which no drive is known
GPS_ERROR, GAP_ERROR, CHARGE_ERROR = 0.05, 0.25, 0.06  # shares of metres by GPS, of metres unseen, of kWh
AC_EFFICIENCY, DC_EFFICIENCY = 0.88, 0.94  # meter to battery
BELOW_EMPTY_PERCENT = 10.0  # reserves that nobody shows, old figures of the battery
UNSURE_PERCENT = 15.0  # a sigma that makes nearly every vehicle look low to who asks for nine of ten
ANYTHING_PERCENT = 100 / TENTH  # the sigma of a band from 0 to 100

LEAST_DROP_PERCENT, LEAST_EXPECTED_PERCENT = 5.0, 1.0
DRIVE_ERROR = 0.06  # one drive is not the next: load, heat, traffic
FORGETTING, SUREST = 0.02**2, 0.04**2  # appetites change with seasons and tyres
SMALLEST, LARGEST = 0.4, 2.5


class Since(NamedTuple):
    """Per vehicle: the last reading, and what was driven and charged since."""

    percent: Floats
    sigma_percent: Floats
    battery_wh: Floats
    wh_per_km: Floats
    appetite: Floats
    appetite_variance: Floats
    odometer_m: Floats
    gps_m: Floats
    gap_m: Floats
    charged_wh: Floats


def estimate(since: Since) -> tuple[Floats, Floats]:
    """Charge now and its standard deviation, in percent; below 0 where more was driven than the reading had."""
    points_per_m = since.wh_per_km / 1000 / since.battery_wh * 100
    driven = (since.odometer_m + since.gps_m + since.gap_m) * points_per_m
    gained = since.charged_wh / since.battery_wh * 100
    unsure_m2 = (GPS_ERROR * since.gps_m) ** 2 + (GAP_ERROR * since.gap_m) ** 2
    variance = (
        since.sigma_percent**2
        + driven**2 * since.appetite_variance
        + (points_per_m * since.appetite) ** 2 * unsure_m2
        + (CHARGE_ERROR * gained) ** 2
    )
    return since.percent - driven * since.appetite + gained, np.sqrt(variance)


def is_disproved(percent: Floats, sigma_percent: Floats) -> NDArray[np.bool_]:
    """Who was driven on where the battery must have been empty has charged where nobody told."""
    return percent < -BELOW_EMPTY_PERCENT - sigma_percent


def at_least(percent: Floats, sigma_percent: Floats) -> Floats:
    """What nine of ten have."""
    return np.clip(percent - TENTH * sigma_percent, 0.0, 100.0)


def band(percent: float, sigma_percent: float) -> tuple[float, float]:
    """What nine of ten such vehicles have at least, and at most."""
    return max(0.0, percent - TENTH * sigma_percent), min(100.0, percent + TENTH * sigma_percent)


class Appetite(NamedTuple):
    """What a vehicle takes, as a multiple of its model's Wh per km, and the variance of that."""

    factor: float = 1.0
    variance: float = APPETITE_VARIANCE

    def after(
        self, *, drop_percent: float, distance_m: float, battery_wh: float, wh_per_km: float, sigma_percent: float
    ) -> "Appetite":
        """Recursive least squares: what is known after one more drive between two readings of this sigma.

        Small drops teach nothing, and what no vehicle can do is an error of something else.
        """
        expected = distance_m / 1000 * wh_per_km / battery_wh * 100
        if drop_percent < LEAST_DROP_PERCENT or expected < LEAST_EXPECTED_PERCENT:
            return self
        observed = drop_percent / expected
        if not SMALLEST <= observed <= LARGEST:
            return self
        error = 2 * (sigma_percent / expected) ** 2 + (DRIVE_ERROR * observed) ** 2
        before = min(self.variance + FORGETTING, APPETITE_VARIANCE)
        gain = before / (before + error)
        return Appetite(self.factor + gain * (observed - self.factor), max(SUREST, (1 - gain) * before))
