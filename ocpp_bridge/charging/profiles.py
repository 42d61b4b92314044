"""Watts as charging profiles and back, within what a charger can take: no Django, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation
from typing import Any

TENTH = Decimal("0.1")
FIRST_PROFILE_ID = 7_300_000  # ours are known by their numbers; people's own profiles stay untouched
DAYS_THAT_MAKE_SENSE = 31
TX, TX_DEFAULT, STATION_MAX = "tx", "tx_default", "station_max"
_NUMBER = {STATION_MAX: 0, TX_DEFAULT: 1_000, TX: 2_000}


@dataclass(frozen=True)
class Wiring:
    """How power becomes current: `volts` between phase and neutral, `phases` 0 for DC (then `volts` is the DC one)."""

    phases: int
    volts: int

    @property
    def watts_per_ampere(self) -> int:
        return self.volts * max(self.phases, 1)


@dataclass(frozen=True)
class Abilities:
    """What a charger can take, where it says (OCPP 1.6 section 9.4; OCPP 2.0.1 SmartChargingCtrlr). None: unknown."""

    max_stack_level: int | None = None
    max_profiles: int | None = None
    max_periods: int | None = None
    units: frozenset[str] = frozenset()


def purposes_for(known: Abilities, *, plugs: int, has_station_max: bool) -> frozenset[str]:
    """Which of our profiles find room in a charger that keeps `max_profiles` at once: sessions always come first.

    With too little room the limit of the whole station goes first (its plugs' limits add up to no more), then what
    plugs may draw while we are silent.
    """
    room = plugs * 2 + has_station_max if known.max_profiles is None else known.max_profiles
    purposes = {TX}
    if room >= plugs * 2:
        purposes.add(TX_DEFAULT)
    if has_station_max and room > plugs * 2:
        purposes.add(STATION_MAX)
    return frozenset(purposes)


def abilities(values: Mapping[str, str | None]) -> Abilities:
    """From configuration keys by either version's name; nonsense counts as unknown."""

    def first(*names: str) -> str:
        return next((value for name in names if (value := values.get(name))), "")

    words = {word.strip().lower() for word in first(*UNIT_KEYS).replace(";", ",").split(",")}
    units = {unit for unit, names in {"W": {"w", "power"}, "A": {"a", "current"}}.items() if words & names}
    return Abilities(
        _count(first("ChargeProfileMaxStackLevel", "SmartChargingCtrlr.ProfileStackLevel"), low=0),
        _count(first("MaxChargingProfilesInstalled", "SmartChargingCtrlr.Entries[ChargingProfiles]"), low=1),
        _count(first("ChargingScheduleMaxPeriods", "SmartChargingCtrlr.PeriodsPerSchedule"), low=1),
        frozenset(units),
    )


UNIT_KEYS = ("ChargingScheduleAllowedChargingRateUnit", "SmartChargingCtrlr.RateUnit")
KEYS = (
    "ChargeProfileMaxStackLevel", "MaxChargingProfilesInstalled", "ChargingScheduleMaxPeriods",
    "SmartChargingCtrlr.ProfileStackLevel", "SmartChargingCtrlr.Entries[ChargingProfiles]",
    "SmartChargingCtrlr.PeriodsPerSchedule", *UNIT_KEYS,
)  # fmt: skip


def _count(text: str, *, low: int) -> int | None:
    try:
        number = int(text.strip())
    except ValueError:
        return None
    return number if number >= low else None


def unit_for(wiring: Wiring, known: Abilities) -> str:
    """Amperes for AC and watts for DC, unless the charger only takes the other."""
    preferred = "A" if wiring.phases else "W"
    return preferred if preferred in known.units or not known.units else min(known.units)


def to_limit(watts: int, unit: str, wiring: Wiring) -> Decimal:
    """In steps of 0.1 and never above `watts`: a current flows on every phase."""
    amount = Decimal(watts) if unit == "W" else Decimal(watts) / wiring.watts_per_ampere
    return amount.quantize(TENTH, ROUND_DOWN)


def to_watts(limit: Decimal, unit: str, wiring: Wiring) -> int:
    """Never below what the limit allows."""
    amount = limit if unit == "W" else limit * wiring.watts_per_ampere
    return int(amount.to_integral_value(ROUND_UP))


# --- what is held ---------------------------------------------------------------------------------------------------

Held = Sequence[Sequence[int | None]]
"""[from, until, watts] by Unix seconds, rising; `until` None has no end. Outside of it nothing is held."""


def held_at(held: Held | None, moment: int) -> int | None:
    """Watts in force; None when the profile says nothing at that moment."""
    for since, until, watts in held or ():
        if (since or 0) <= moment and (until is None or moment < until):
            return watts
    return None


def moments_of(held: Held | None) -> set[int]:
    """When something changes."""
    return {edge for since, until, _ in held or () for edge in (since, until) if edge is not None}


def fewer(held: Held, most: int | None) -> list[list[int | None]]:
    """At most so many periods (ChargingScheduleMaxPeriods), none above what was meant: the tail takes its lowest."""
    rows = [list(row) for row in held]
    if most is None or len(rows) <= most:
        return rows
    head, tail = rows[: most - 1], rows[most - 1 :]
    return [*head, [tail[0][0], tail[-1][1], min(row[2] or 0 for row in tail)]]


def joined(held: Held) -> list[list[int | None]]:
    """Neighbours of the same power become one period."""
    rows: list[list[int | None]] = []
    for since, until, watts in held:
        if rows and rows[-1][1] == since and rows[-1][2] == watts:
            rows[-1][1] = until
        else:
            rows.append([since, until, watts])
    return rows


def rounded(held: Held, unit: str, wiring: Wiring) -> list[list[int | None]]:
    """What the charger will understand once it is said in this unit."""
    return [[since, until, to_watts(to_limit(watts or 0, unit, wiring), unit, wiring)] for since, until, watts in held]


def profile_of(
    held: Held, *, purpose: str, evse_number: int, unit: str, wiring: Wiring, stack_level: int = 0
) -> dict[str, Any]:
    """The neutral charging profile of our commands. A session's is absolute, the others hold from its start on."""
    begin, end = held[0][0] or 0, held[-1][1]
    phases = {"phases": wiring.phases} if wiring.phases and unit == "A" else {}
    profile: dict[str, Any] = {
        "profile_id": FIRST_PROFILE_ID + _NUMBER[purpose] + evse_number,
        "stack_level": stack_level,
        "purpose": purpose,
        "kind": "relative" if purpose == TX_DEFAULT else "absolute",
        "unit": unit,
        "periods": [
            {"start_seconds": (since or 0) - begin, "limit": str(to_limit(watts or 0, unit, wiring)), **phases}
            for since, _, watts in held
        ],
    }
    if purpose != TX_DEFAULT:
        profile["start_at"] = datetime.fromtimestamp(begin, UTC).isoformat()
    if end is not None:
        profile["duration_seconds"] = end - begin
    return profile


# --- what the charger says it does ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composite:
    """GetCompositeSchedule as far as it can be understood; `held` None: it says nothing we could compare."""

    held: list[list[int | None]] | None
    flaws: tuple[str, ...]
    is_answered: bool = True


def composite_of(response: object, *, wiring: Wiring, asked_at: int, asked_seconds: int) -> Composite:
    """Read the answer of any version; what is absurd becomes a flaw and never an error (rule 34).

    A limit below 0 is how some chargers say "no limit".
    """
    if not isinstance(response, dict) or response.get("status") != "Accepted":
        return Composite(None, (), is_answered=False)
    schedule = response.get("chargingSchedule", response.get("schedule"))
    if not isinstance(schedule, dict) or not isinstance(schedule.get("chargingSchedulePeriod"), list):
        return Composite(None, ("no schedule",))
    unit = schedule.get("chargingRateUnit")
    if unit not in ("W", "A"):
        return Composite(None, (f"unit {str(unit)[:20]}",))
    flaws: list[str] = []
    start = _start(response.get("scheduleStart", schedule.get("scheduleStart")), asked_at, flaws)
    end = start + _duration(schedule.get("duration"), asked_seconds, flaws)
    periods = _periods(schedule["chargingSchedulePeriod"], flaws)
    if not periods:
        return Composite(None, (*flaws, "no period"))
    ends = [*(start + seconds for seconds, _ in periods[1:]), end]
    held: list[list[int | None]] = [
        [start + seconds, until, to_watts(limit, unit, wiring)]
        for (seconds, limit), until in zip(periods, ends, strict=True)
        if start + seconds < until
    ]
    return Composite(None if flaws else held, tuple(flaws))


def active_profile(response: object) -> dict[str, Any] | None:
    """The same as OCPI tells it (2.2.1, ActiveChargingProfile), in the unit of the charger; None for anything else."""
    schedule = response.get("chargingSchedule", response.get("schedule")) if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(schedule, dict):
        return None
    rows, flaws = schedule.get("chargingSchedulePeriod"), list[str]()
    periods = _periods(rows if isinstance(rows, list) else (), flaws)
    start, unit = response.get("scheduleStart", schedule.get("scheduleStart")), schedule.get("chargingRateUnit")
    if flaws or unit not in ("W", "A"):
        return None
    told = [{"start_period": seconds, "limit": float(limit)} for seconds, limit in periods]
    profile = {"charging_rate_unit": unit, "charging_profile_period": told}
    return {"profile": {"start_date_time": str(start or "")[:40], "charging_profile": profile}}


def _start(value: object, asked_at: int, flaws: list[str]) -> int:
    if value is None:
        return asked_at
    try:
        return int(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError):
        flaws.append("start")
        return asked_at


def _duration(value: object, asked_seconds: int, flaws: list[str]) -> int:
    if value is None:
        return asked_seconds
    if isinstance(value, int) and 0 < value <= DAYS_THAT_MAKE_SENSE * 86_400:
        return value
    flaws.append(f"duration {str(value)[:20]}")
    return asked_seconds


def _periods(rows: Iterable[object], flaws: list[str]) -> list[tuple[int, Decimal]]:
    periods = []
    for row in rows:
        seconds, limit = (row.get("startPeriod"), row.get("limit")) if isinstance(row, dict) else (None, None)
        amount = _amount(limit)
        if not isinstance(seconds, int) or seconds < 0 or amount is None:
            flaws.append(f"limit {str(limit)[:20]}")
        else:
            periods.append((seconds, amount))
    if [seconds for seconds, _ in periods] != sorted({seconds for seconds, _ in periods}):
        flaws.append("order")
        return []
    return periods


def _amount(value: object) -> Decimal | None:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10**9 else None


def exceeds(found: Held, wanted: Held, *, now: int, tolerance_w: int) -> bool:
    """Does the charger allow more than it was told, from now on and as long as both say something?"""
    moments = {now} | {moment for moment in moments_of(found) | moments_of(wanted) if moment > now}
    for moment in moments:
        told, does = held_at(wanted, moment), held_at(found, moment)
        if told is not None and does is not None and does > told + tolerance_w:
            return True
    return False
