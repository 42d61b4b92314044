"""Charging profiles as a charger keeps them: which one holds now, and what the composite schedule is. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

VOLTS = 230.0
STATION_MAX = ("ChargePointMaxProfile", "ChargingStationMaxProfile", "ChargingStationExternalConstraints")
TX_DEFAULT, TX = "TxDefaultProfile", "TxProfile"
RECURRENCE = {"Daily": timedelta(days=1), "Weekly": timedelta(days=7)}


@dataclass(frozen=True)
class Schedule:
    """`periods` are (from second, watts); `started_at` None counts from the start of the transaction."""

    periods: tuple[tuple[int, float], ...]
    started_at: datetime | None = None
    duration_seconds: int | None = None


@dataclass(frozen=True)
class Profile:
    """As set by the system (OCPP 1.6 section 7.8, 2.0.1 part 2 K01). `evse_number` 0 is the whole station."""

    number: int
    evse_number: int
    purpose: str
    stack_level: int
    kind: str
    schedule: Schedule
    transaction_ref: str = ""
    recurrency: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    raw: dict[str, Any] = field(default_factory=dict, compare=False)

    def limit_w(self, at: datetime, transaction_began_at: datetime | None) -> float | None:
        """Watts at that moment; None when it says nothing about it."""
        if (self.valid_from and at < self.valid_from) or (self.valid_to and at >= self.valid_to):
            return None
        seconds = self._seconds(at, transaction_began_at)
        schedule = self.schedule
        if seconds is None or seconds < 0 or (schedule.duration_seconds and seconds >= schedule.duration_seconds):
            return None
        begun = [watts for start, watts in schedule.periods if start <= seconds]
        return begun[-1] if begun else None

    def _seconds(self, at: datetime, transaction_began_at: datetime | None) -> float | None:
        began_at = transaction_began_at if self.kind == "Relative" else self.schedule.started_at or transaction_began_at
        if began_at is None:
            return None
        passed = at - began_at
        if self.kind == "Recurring" and passed > timedelta(0):
            passed %= RECURRENCE.get(self.recurrency, RECURRENCE["Daily"])
        return passed.total_seconds()


def read(payload: dict[str, Any], evse_number: int) -> Profile:
    """A csChargingProfiles (1.6) or chargingProfile (2.x) object; raises KeyError or ValueError."""
    schedules = payload["chargingSchedule"]
    schedule = schedules[0] if isinstance(schedules, list) else schedules
    return Profile(
        number=int(payload["chargingProfileId"] if "chargingProfileId" in payload else payload["id"]),
        evse_number=evse_number,
        purpose=payload["chargingProfilePurpose"],
        stack_level=int(payload["stackLevel"]),
        kind=payload["chargingProfileKind"],
        schedule=_schedule(schedule),
        transaction_ref=str(payload.get("transactionId", "")),
        recurrency=payload.get("recurrencyKind", ""),
        valid_from=_instant(payload.get("validFrom")),
        valid_to=_instant(payload.get("validTo")),
        raw=payload,
    )


def _schedule(raw: dict[str, Any]) -> Schedule:
    is_amps = raw["chargingRateUnit"] == "A"
    periods = tuple(
        (int(period["startPeriod"]), _watts(float(period["limit"]), is_amps, period.get("numberPhases", 3)))
        for period in raw["chargingSchedulePeriod"]
    )
    return Schedule(periods, _instant(raw.get("startSchedule")), raw.get("duration"))


def _watts(limit: float, is_amps: bool, phases: int) -> float:
    return limit * VOLTS * phases if is_amps else limit


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def limit_w(
    profiles: Iterable[Profile], evse_number: int, at: datetime, *, transaction_ref: str, began_at: datetime | None
) -> float | None:
    """The lowest of the purposes, in each of which the highest stack level wins; None is no limit."""
    here = [profile for profile in profiles if profile.evse_number in (0, evse_number)]
    station = _highest((one for one in here if one.purpose in STATION_MAX), at, began_at)
    own = [one for one in here if one.purpose == TX and one.transaction_ref in ("", transaction_ref)]
    session = _highest(own, at, began_at) if transaction_ref or began_at else None
    if session is None:
        session = _highest((one for one in here if one.purpose == TX_DEFAULT), at, began_at)
    limits = [limit for limit in (station, session) if limit is not None]
    return min(limits) if limits else None


def _highest(profiles: Iterable[Profile], at: datetime, began_at: datetime | None) -> float | None:
    for profile in sorted(profiles, key=lambda one: (-one.stack_level, -one.evse_number)):
        limit = profile.limit_w(at, began_at)
        if limit is not None:
            return limit
    return None


def composite(
    profiles: Sequence[Profile], evse_number: int, at: datetime, seconds: int, *, most_w: float, transaction_ref: str,
    began_at: datetime | None,
) -> list[tuple[int, float]]:  # fmt: skip
    """(second, watts) from now on, minute by minute, only where it changes."""
    steps: list[tuple[int, float]] = []
    for second in range(0, max(1, min(seconds, 86_400)), 60):
        moment = at + timedelta(seconds=second)
        limit = limit_w(profiles, evse_number, moment, transaction_ref=transaction_ref, began_at=began_at)
        watts = most_w if limit is None else min(limit, most_w)
        if not steps or steps[-1][1] != watts:
            steps.append((second, watts))
    return steps


def clear(profiles: Sequence[Profile], *, number: int | None, evse_number: int | None, purpose: str | None,
          stack_level: int | None) -> list[Profile]:  # fmt: skip
    """Those that stay; a number alone decides, else all criteria given must fit."""
    if number is not None:
        return [profile for profile in profiles if profile.number != number]
    return [
        profile
        for profile in profiles
        if (evse_number is not None and profile.evse_number != evse_number)
        or (purpose is not None and profile.purpose != purpose)
        or (stack_level is not None and profile.stack_level != stack_level)
    ]
