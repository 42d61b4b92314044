"""What was learned of plugs, at hand for a decision: kept in memory by site, looked up again every ten minutes."""

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from dispatch.core import forecast, waits
from dispatch.forecasts.models import Calibration, PlugGroup

KEEP_SECONDS = 600.0
MOST_SITES = 20_000
HORIZONS_MINUTES = (15, 30, 60, 180)
LAW_UNTIL_SECONDS = 3600.0
"""As far ahead, how long the session there lasts says more than what is usual at that hour."""
CLASSES_W = (0, 8_000, 25_000, 50_000, 100_000, 150_000)
"""Least power of each class of plugs."""


class Kind(NamedTuple):
    plug: str
    power_w: int

    @property
    def wider(self) -> "Kind":
        """Its class."""
        return Kind(self.plug, max(least for least in CLASSES_W if least <= max(0, self.power_w)))


@dataclass(frozen=True)
class Habit:
    """What is usual at plugs of one kind; without a profile nothing is known of how busy they are."""

    law: waits.Law
    profile: forecast.Profile | None = None


class Habits(NamedTuple):
    """Of some sites, of every class, and what forecasts were worth."""

    at_sites: Mapping[int, Mapping[Kind, Habit]]
    of_classes: Mapping[Kind, Habit]
    calibrations: Mapping[tuple[bool, int], list[list[float]]]

    def of(self, location_id: int, plug: str, power_w: int) -> Habit:
        """Of the very plugs, else of their class, else what is assumed of any."""
        kind = Kind(plug, power_w)
        found = self.at_sites.get(location_id, {}).get(kind) or self.of_classes.get(kind.wider)
        return found or Habit(waits.default_law())

    def p_free(self, habit: Habit, state: waits.PlugState, *, hour: float, ahead_seconds: float) -> float | None:
        """Chance that the plug is free so far ahead, as such forecasts came true; None where nothing is known."""
        raw = raw_p_free(habit, state, hour=hour, ahead_seconds=ahead_seconds)
        return None if raw is None else self.calibrated(raw, state, ahead_seconds)

    def calibrated(self, raw: float, state: waits.PlugState, ahead_seconds: float) -> float:
        nearest = min(HORIZONS_MINUTES, key=lambda minutes: abs(minutes * 60 - ahead_seconds))
        if ahead_seconds < HORIZONS_MINUTES[0] * 30:  # too near for what was learned of a quarter of an hour
            return raw
        return forecast.calibrated(self.calibrations.get((state.is_free, nearest), []), raw)


def raw_p_free(habit: Habit, state: waits.PlugState, *, hour: float, ahead_seconds: float) -> float | None:
    if not state.is_free and (ahead_seconds <= LAW_UNTIL_SECONDS or habit.profile is None):
        return waits.free_at_arrival(state, arrives_in_seconds=ahead_seconds)
    if habit.profile is None:
        return None
    return 1 - habit.profile.p_busy(is_busy=not state.is_free, hour=hour, ahead_hours=ahead_seconds / 3600)


@lru_cache(maxsize=64)
def hour_of_week(at: datetime, zone: ZoneInfo) -> float:
    """From Monday 00:00 where the plug is."""
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour + local.minute / 60


class Memory:
    """Of one process; several threads may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._sites: dict[int, tuple[float, dict[Kind, Habit]]] = {}
        self._general: tuple[dict[Kind, Habit], dict[tuple[bool, int], list[list[float]]]] = ({}, {})
        self._general_at = float("-inf")

    def at(self, location_ids: Collection[int]) -> Habits:
        with self._lock:
            self._load(location_ids, time.monotonic())
            sites = {pk: self._sites[pk][1] for pk in location_ids}
            return Habits(sites, *self._general)

    def _load(self, location_ids: Collection[int], now: float) -> None:
        if now - self._general_at >= KEEP_SECONDS:
            self._general, self._general_at = (_by_site(None).get(None, {}), _calibrations()), now
        old = now - KEEP_SECONDS
        missing = [pk for pk in location_ids if pk not in self._sites or self._sites[pk][0] < old]
        if len(self._sites) + len(missing) > MOST_SITES:
            self._sites, missing = {}, list(location_ids)
        found = _by_site(missing) if missing else {}
        self._sites |= {pk: (now, found.get(pk, {})) for pk in missing}


def _by_site(location_ids: Collection[int] | None) -> dict[int | None, dict[Kind, Habit]]:
    """None: the classes."""
    chosen = {"location": None} if location_ids is None else {"location__in": location_ids}
    habits: dict[int | None, dict[Kind, Habit]] = {}
    for row in PlugGroup.objects.filter(**chosen):
        habits.setdefault(row.location_id, {})[Kind(row.plug, row.max_power_w)] = _habit(row)
    return habits


def _habit(row: PlugGroup) -> Habit:
    law = waits.evenly(row.session_seconds) if row.session_seconds else waits.default_law()
    return Habit(law, forecast.Profile(np.array(row.busy_by_hour), row.keeps) if row.busy_by_hour else None)


def _calibrations() -> dict[tuple[bool, int], list[list[float]]]:
    return {(row.was_free, row.horizon_minutes): row.points for row in Calibration.objects.all()}


habits = Memory()
