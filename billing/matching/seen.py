"""The stored series as numbers, with what several rules ask of them. Pure.

Only sums, products, quotients and square roots, so that every machine comes to the same bits.
"""

from datetime import timedelta
from functools import cached_property
from math import cos, radians, sqrt

import numpy as np
import numpy.typing as npt

from billing.matching.facts import UNKNOWN, Evidence, Numbers, unpacked
from billing.matching.thresholds import Thresholds

METRES_PER_DEGREE = 111_195
DEFAULT_ACCURACY_M = 20
LONGEST_GAP_S = 600
MOCK_LOCATION, CHARGING = 16, 8  # bits of Position.flags
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def shrink(evidence: Evidence) -> float:
    """How much shorter a degree of longitude is at the station than one of latitude."""
    return round(cos(radians(evidence.latitude_e7 / 1e7)), 9)


def away_m(evidence: Evidence, latitude_e7: int, longitude_e7: int) -> float:
    """From the station."""
    north = (latitude_e7 - evidence.latitude_e7) / 1e7 * METRES_PER_DEGREE
    east = (longitude_e7 - evidence.longitude_e7) / 1e7 * METRES_PER_DEGREE * shrink(evidence)
    return sqrt(north * north + east * east)


class Seen:
    """One session's evidence, read once. Seconds count from its start, metres from its station."""

    def __init__(self, evidence: Evidence, terms: Thresholds) -> None:
        self.evidence, self.terms = evidence, terms
        self.ends_s = int((evidence.ended_at - evidence.started_at).total_seconds())
        track = evidence.track
        self.at: Numbers = unpacked(track.seconds)
        self.latitude_e7, self.longitude_e7 = unpacked(track.latitude_e7), unpacked(track.longitude_e7)
        self.speed_dkmh, self.flags = unpacked(track.speed_dkmh), unpacked(track.flags)
        self.told_accuracy_m = unpacked(track.accuracy_m)
        is_silent = self.told_accuracy_m == UNKNOWN
        self.accuracy_m: Numbers = np.where(is_silent, DEFAULT_ACCURACY_M, self.told_accuracy_m)
        self.east_m, self.north_m = self.metres(self.latitude_e7, self.longitude_e7)
        self.distance_m: Floats = np.sqrt(self.east_m * self.east_m + self.north_m * self.north_m)
        self.radius_m: Numbers = evidence.base_radius_m + self.accuracy_m
        self.is_during: Mask = (self.at >= 0) & (self.at <= self.ends_s)

    def metres(self, latitude_e7: Numbers, longitude_e7: Numbers) -> tuple[Floats, Floats]:
        """East and north of the station on a flat earth: good to a metre over a city."""
        north = (latitude_e7 - self.evidence.latitude_e7) / 1e7 * METRES_PER_DEGREE
        east = (longitude_e7 - self.evidence.longitude_e7) / 1e7 * METRES_PER_DEGREE * shrink(self.evidence)
        return east, north

    def has_ping_near(self, second: float) -> bool:
        return bool((np.abs(self.at - second) <= self.terms.near_moment_minutes * 60).any())

    @cached_property
    def is_standing_here(self) -> Mask:
        is_slow = (self.speed_dkmh == UNKNOWN) | (self.speed_dkmh < self.terms.standing_kmh * 10)
        is_here: Mask = is_slow & (self.distance_m <= self.radius_m)
        return is_here

    @cached_property
    def present_share(self) -> float:
        """Of the pinged time of the session, how much the vehicle stood within the radius (0 without pings)."""
        at = self.at[self.is_during]
        if not len(at):
            return 0.0
        until = np.append(at[1:], self.ends_s)
        weight = np.maximum(1, np.minimum(until - at, LONGEST_GAP_S))
        return float(weight[self.is_standing_here[self.is_during]].sum()) / float(weight.sum())

    @cached_property
    def dwell(self) -> tuple[int, int] | None:
        """Where it stood while it charged: medians of latitude and longitude, e7."""
        stood = self.is_during & ((self.speed_dkmh == UNKNOWN) | (self.speed_dkmh < self.terms.standing_kmh * 10))
        if not stood.any():
            return None
        return int(np.median(self.latitude_e7[stood])), int(np.median(self.longitude_e7[stood]))

    # --- what the charger said ------------------------------------------------------------------------------------
    @cached_property
    def power(self) -> tuple[Numbers, Numbers]:
        return unpacked(self.evidence.power.seconds), unpacked(self.evidence.power.values)

    @cached_property
    def register(self) -> tuple[Numbers, Numbers]:
        return unpacked(self.evidence.register.seconds), unpacked(self.evidence.register.values)

    @cached_property
    def deliveries(self) -> list[tuple[int, int]]:
        """Stretches of unbroken delivery, from second to second."""
        return self._stretches(*self.power)

    @cached_property
    def certain_deliveries(self) -> list[tuple[int, int]]:
        """As `deliveries`; without a meter of our own, the record's, less what its clock may be off at both ends."""
        if len(self.power[0]):
            return self.deliveries
        told, off_s = self.evidence.told_power, self.terms.clock_minutes * 60
        stretches = self._stretches(unpacked(told.seconds), unpacked(told.values))
        return [(since + off_s, until - off_s) for since, until in stretches if until - since > 2 * off_s]

    def _stretches(self, at: Numbers, power: Numbers) -> list[tuple[int, int]]:
        if not len(at):
            return []
        is_on = power > self.terms.delivering_w
        edges = np.flatnonzero(np.diff(is_on.astype(np.int8), prepend=0, append=0))
        ends = np.append(at, self.ends_s)
        return [(int(ends[first]), int(ends[last])) for first, last in zip(edges[::2], edges[1::2], strict=True)]

    @cached_property
    def delivering_s(self) -> int:
        return sum(max(0, until - since) for since, until in self.deliveries)

    @cached_property
    def perhaps_delivering_s(self) -> int:
        """As `delivering_s`, with the time before the meter's first word."""
        at, _ = self.power
        return self.delivering_s + max(0, int(at[0])) if len(at) else self.ends_s

    @cached_property
    def billed_wh(self) -> int:
        evidence = self.evidence
        return evidence.energy_wh if evidence.network_wh is None else evidence.network_wh

    @cached_property
    def is_energy_in_doubt(self) -> bool:
        """The record and the meter are farther apart than meters are."""
        meter_wh = self.evidence.meter_wh
        if meter_wh is None:
            return False
        return abs(self.billed_wh - meter_wh) > max(
            self.terms.meter_off_percent * meter_wh / 100, self.terms.meter_off_wh
        )

    @cached_property
    def delivered_wh(self) -> int:
        """What is held against the vehicle: the meter's figure while the billed one is in doubt."""
        meter_wh = self.evidence.meter_wh
        return meter_wh if meter_wh is not None and self.is_energy_in_doubt else self.evidence.energy_wh

    # --- state of charge ------------------------------------------------------------------------------------------
    @cached_property
    def _soc(self) -> tuple[Numbers, Numbers]:
        soc = unpacked(self.evidence.track.soc_permille)
        return self.at[soc != UNKNOWN], soc[soc != UNKNOWN]

    @cached_property
    def soc_before(self) -> tuple[float, str] | None:
        """The vehicle's own last figure before the start, else what the charger read."""
        at, soc = self._soc
        fresh = soc[(at <= 0) & (at >= -self.terms.soc_fresh_minutes * 60)]
        if len(fresh):
            return int(fresh[-1]) / 10, "vehicle"
        told = self.evidence.charger_soc_start_percent
        return None if told is None else (told, "charger")

    @cached_property
    def soc_after(self) -> tuple[float, str] | None:
        """The vehicle's first figure after the end, else its last one shortly before, else the charger's."""
        at, soc = self._soc
        after = soc[(at >= self.ends_s) & (at <= self.ends_s + self.terms.soc_fresh_minutes * 60)]
        if len(after):
            return int(after[0]) / 10, "vehicle"
        shortly = soc[(at >= self.ends_s - 120) & (at <= self.ends_s)]
        if len(shortly):
            return int(shortly[-1]) / 10, "vehicle"
        told = self.evidence.charger_soc_end_percent
        return None if told is None else (told, "charger")

    def clock(self, second: float) -> str:
        return (self.evidence.started_at + timedelta(seconds=float(second))).isoformat(timespec="seconds")
