"""Charging periods of an OCPI CDR as stretches that can be priced, and what in them does not add up. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

from billing.rating import Period, Reserved
from billing.segments import seconds_of
from billing.tariff_elements import number_of

ENERGY_TOLERANCE_WH, TIME_TOLERANCE_S = 10, 60


@dataclass(frozen=True)
class Told:
    """A CDR's periods in our terms. `problems`: why its totals, and not its periods, should be trusted."""

    periods: list[Period]
    reserved: Reserved | None
    problems: list[str]


def read_periods(
    periods: Sequence[Mapping[str, Any]], *, started_at: datetime, ended_at: datetime, energy_wh: int,
    charging_seconds: int, idle_seconds: int,
) -> Told:  # fmt: skip
    """`periods` as ChargingPeriods with volumes as text (kWh, hours). Raises TariffError for unusable numbers.

    A period lasts as long as its TIME or PARKING_TIME says; without either, until the next one begins. Where both are
    told it charged first (OCPI 2.2.1 mod_cdrs, ChargingPeriod).
    """
    starts = [_instant(period["start_date_time"]) for period in periods]
    found: list[Period] = []
    waited, reserved_from = Fraction(0), None
    for period, (start, end) in zip(
        periods, pairwise([*starts, max(ended_at, *starts)] if starts else []), strict=True
    ):
        volumes = {each["type"]: number_of(each["volume"], each["type"]) for each in period.get("dimensions", [])}
        if "RESERVATION_TIME" in volumes:
            waited += volumes["RESERVATION_TIME"] * 3600
            reserved_from = reserved_from or start
        found += _stretches(volumes, seconds_of(start - started_at), seconds_of(end - start))
    reserved = Reserved(reserved_from, waited, is_expired=not found) if reserved_from else None
    return Told(found, reserved, _problems(found, energy_wh, charging_seconds, idle_seconds))


def _stretches(volumes: Mapping[str, Fraction], offset_s: Fraction, lasts_s: Fraction) -> list[Period]:
    energy_wh = volumes.get("ENERGY", Fraction(0)) * 1000
    charging, parking = volumes.get("TIME"), volumes.get("PARKING_TIME")
    if charging is None and parking is None and "RESERVATION_TIME" in volumes:
        return []
    seconds = lasts_s if charging is None and parking is None else (charging or Fraction(0)) * 3600
    made = []
    if seconds or energy_wh:
        power_w, current_a = _power(volumes, energy_wh, seconds), _flow(volumes, "CURRENT")
        made.append(Period(seconds, energy_wh, power_w=power_w, current_a=current_a, offset_s=offset_s))
    if parking:
        made.append(Period(parking * 3600, 0, is_parking=True, offset_s=offset_s + seconds))
    return made


def _power(volumes: Mapping[str, Fraction], energy_wh: Fraction, seconds: Fraction) -> Fraction | None:
    """In watts: what was measured, else the average."""
    told = _flow(volumes, "POWER")
    if told is not None:
        return told * 1000
    return energy_wh * 3600 / seconds if seconds else None


def _flow(volumes: Mapping[str, Fraction], name: str) -> Fraction | None:
    """The greatest value of a period decides; some networks send only the least."""
    return next((volumes[key] for key in (f"MAX_{name}", name, f"MIN_{name}") if key in volumes), None)


def _problems(found: Sequence[Period], energy_wh: int, charging_seconds: int, idle_seconds: int) -> list[str]:
    if not found:
        return ["it has no charging periods"]
    energy = sum((Fraction(period.energy_wh) for period in found), Fraction(0))
    seconds = sum((Fraction(period.seconds) for period in found), Fraction(0))
    problems = []
    if abs(energy - energy_wh) > ENERGY_TOLERANCE_WH:
        problems.append(f"its periods hold {float(energy) / 1000:.3f} kWh, its total {energy_wh / 1000:.3f}")
    if abs(seconds - charging_seconds - idle_seconds) > TIME_TOLERANCE_S:
        problems.append(f"its periods last {float(seconds):.0f} s, its total {charging_seconds + idle_seconds}")
    return problems


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
