"""When background work is due: sweeps of the same pace at times of their own, not all in one breath."""

import math
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import BaseSchedule, schedstate, schedule


class Spread(schedule):  # type: ignore[misc]  # celery is not followed by mypy
    """Every so many seconds of Unix time, `phase_seconds` behind round ones. What was missed is made up for once."""

    def __init__(self, run_every: Any, phase_seconds: float, app: Any = None) -> None:
        super().__init__(run_every, app=app)
        self.phase_seconds = phase_seconds

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Until the first of its times after the last run; negative when that is past."""
        now = self.maybe_make_aware(self.now())
        return timedelta(seconds=self._after(self.maybe_make_aware(last_run_at)) - now.timestamp())

    def is_due(self, last_run_at: datetime) -> Any:
        remaining = self.remaining_estimate(last_run_at).total_seconds()
        if remaining > 0:
            return schedstate(is_due=False, next=remaining)
        now = self.maybe_make_aware(self.now())
        return schedstate(is_due=True, next=self._after(now) - now.timestamp())

    def _after(self, at: datetime) -> float:
        passed = math.floor((at.timestamp() - self.phase_seconds) / self.seconds) + 1
        return float(passed * self.seconds + self.phase_seconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spread) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.run_every, self.phase_seconds))

    def __reduce__(self) -> Any:
        return type(self), (self.run_every, self.phase_seconds)


def spread_out(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A `beat_schedule` whose paces in seconds begin at times of their own, the same on every machine and start.

    Fifty sweeps that are all due each minute would keep who waits for a plan waiting for two seconds.
    """
    return {name: {**entry, "schedule": _spread(name, entry["schedule"])} for name, entry in entries.items()}


def _spread(name: str, pace: Any) -> Any:
    if isinstance(pace, BaseSchedule):
        return pace
    return Spread(pace, phase_seconds=zlib.crc32(name.encode()) % round(float(pace) * 1000) / 1000)
