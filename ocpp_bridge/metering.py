"""Sampled values of both OCPP generations, brought to integer Wh, W and percent. Pure; Decimal, never float sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

ENERGY, POWER, SOC = "Energy.Active.Import.Register", "Power.Active.Import", "SoC"
WANTED = frozenset({ENERGY, POWER, SOC})
MAX_ENERGY_WH = 10**13  # ten terawatt-hours: beyond is a broken meter, and would not fit what we add it to
MAX_POWER_W = 2 * 10**9
_LINES = ({"L1", "L2", "L3"}, {"L1-N", "L2-N", "L3-N"})


@dataclass(slots=True)
class Sampled:
    """What one moment of a meter says; None: not said, or not believable."""

    energy_wh: int | None = None
    power_w: int | None = None
    soc_percent: float | None = None
    context: str = ""


def normalise(samples: Sequence[Any]) -> Sampled:
    """Read a sampledValue list (OCPP 1.6 strings with `unit`, 2.x numbers with `unitOfMeasure`).

    The total without phase wins, else the phases are summed (chargers send both). Signed data is kept by the caller,
    not read.
    """
    result = Sampled()
    phases: dict[str, dict[str, Decimal]] = {}
    totals: dict[str, Decimal] = {}
    for sample in samples:
        measurand = sample.get("measurand", ENERGY) if isinstance(sample, dict) else None
        if not isinstance(measurand, str) or measurand not in WANTED or sample.get("format") == "SignedData":
            continue
        value = _value(sample, measurand)
        if value is None:
            continue
        result.context = str(sample.get("context", ""))[:20] or result.context
        if phase := sample.get("phase"):
            phases.setdefault(measurand, {})[str(phase)] = value
        else:
            totals[measurand] = value
    for measurand, by_phase in phases.items():
        if measurand not in totals and (total := _sum_of_lines(by_phase)) is not None:
            totals[measurand] = total
    result.energy_wh = _bounded(totals.get(ENERGY), 0, MAX_ENERGY_WH)
    result.power_w = _bounded(totals.get(POWER), -MAX_POWER_W, MAX_POWER_W)
    soc = totals.get(SOC)
    result.soc_percent = float(soc) if soc is not None and 0 <= soc <= 100 else None
    return result


def _value(sample: dict[str, Any], measurand: str) -> Decimal | None:
    raw = sample.get("value")
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        return None
    try:
        value = Decimal(str(raw).strip())
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > 30:
        return None
    return value * _scale(sample, measurand)


def _scale(sample: dict[str, Any], measurand: str) -> Decimal:
    if measurand == SOC:
        return Decimal(1)
    unit, multiplier = sample.get("unit"), 0
    measure = sample.get("unitOfMeasure")
    if isinstance(measure, dict):
        unit, multiplier = measure.get("unit"), measure.get("multiplier", 0)
    if not isinstance(multiplier, int) or abs(multiplier) > 12:
        multiplier = 0
    return Decimal(10) ** (multiplier + (3 if unit in {"kWh", "kW"} else 0))


def _sum_of_lines(by_phase: dict[str, Decimal]) -> Decimal | None:
    for lines in _LINES:
        values = [value for phase, value in by_phase.items() if phase in lines]
        if values:
            return sum(values, Decimal(0))
    return None


def _bounded(value: Decimal | None, low: int, high: int) -> int | None:
    return round(value) if value is not None and low <= value <= high else None
