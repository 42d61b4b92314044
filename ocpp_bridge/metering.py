"""Sampled values of every OCPP version, brought to integer Wh, W and percent. Pure; Decimal, never float sums."""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from billing.services.meters import MeterReading
    from ocpp_bridge.quirks import QuirkProfile

ENERGY, POWER, SOC = "Energy.Active.Import.Register", "Power.Active.Import", "SoC"
INTERVAL = "Energy.Active.Import.Interval"
WANTED = frozenset({ENERGY, POWER, SOC, INTERVAL})
MAX_ENERGY_WH = 10**13  # ten terawatt-hours: beyond is a broken meter, and would not fit what we add it to
MAX_POWER_W = 2 * 10**9
Number = int | Decimal
_READABLE = (str, int, float)
_KILO = ("kWh", "kW")
_LINES = ({"L1", "L2", "L3"}, {"L1-N", "L2-N", "L3-N"})


class Sampled(NamedTuple):
    """What one moment of a meter says; None: not said, or not believable."""

    energy_wh: int | None
    power_w: int | None
    soc_percent: float | None
    context: str
    interval_wh: int | None = None


def normalise(samples: Sequence[Any]) -> Sampled:
    """Read a sampledValue list (OCPP 1.6 strings with `unit`, 2.x numbers with `unitOfMeasure`).

    The total without phase wins, else the phases are summed (chargers send both). Signed data is kept by the caller,
    not read.
    """
    context = ""
    totals: dict[str, Number] = {}
    phases: dict[str, dict[str, Number]] = {}
    for sample in samples:
        if type(sample) is not dict:
            continue
        measurand = sample.get("measurand", ENERGY)
        if type(measurand) is not str or measurand not in WANTED or sample.get("format") == "SignedData":
            continue
        if (value := _value(sample, measurand)) is None:
            continue
        context = sample.get("context") or context
        if phase := sample.get("phase"):
            phases.setdefault(measurand, {})[str(phase)] = value
        else:
            totals[measurand] = value
    for measurand, by_phase in phases.items():
        if measurand not in totals and (total := _sum_of_lines(by_phase)) is not None:
            totals[measurand] = total
    soc = totals.get(SOC)
    return Sampled(
        _bounded(totals.get(ENERGY), 0, MAX_ENERGY_WH),
        _bounded(totals.get(POWER), -MAX_POWER_W, MAX_POWER_W),
        float(soc) if soc is not None and 0 <= soc <= 100 else None,
        str(context)[:20],
        _bounded(totals.get(INTERVAL), 0, MAX_ENERGY_WH),
    )


def normalise_odd(samples: Sequence[Any], profile: "QuirkProfile") -> Sampled:
    """As `normalise`, for a charger whose model has a quirk profile."""
    plain = normalise(profile.rewrite(samples))
    return plain._replace(
        energy_wh=_scaled(plain.energy_wh, profile.energy_scale, MAX_ENERGY_WH),
        interval_wh=_scaled(plain.interval_wh, profile.energy_scale, MAX_ENERGY_WH),
        power_w=_scaled(plain.power_w, profile.power_scale, MAX_POWER_W),
    )


def register_at_begin(readings: Sequence["MeterReading"]) -> int | None:
    """The register a start carries: the sample marked Transaction.Begin, else the oldest."""
    return _register_at(readings, "Transaction.Begin", min)


def register_at_end(readings: Sequence["MeterReading"]) -> int | None:
    """The register an end carries: the sample marked Transaction.End, else the newest."""
    return _register_at(readings, "Transaction.End", max)


def _register_at(readings: Sequence["MeterReading"], context: str, choose: Callable[..., "MeterReading"]) -> int | None:
    said = [reading for reading in readings if reading.energy_wh is not None]
    marked = [reading for reading in said if reading.context == context]
    return choose(marked or said, key=lambda reading: reading.at).energy_wh if said else None


def _scaled(value: int | None, scale: Decimal, limit: int) -> int | None:
    return value if value is None or scale == 1 else _bounded(value * scale, -limit, limit)


def _value(sample: dict[str, Any], measurand: str) -> Number | None:
    raw = sample.get("value")
    if type(raw) is str and len(raw) < 16 and raw.isascii() and raw.isdecimal():
        value: Number = int(raw)  # nine of ten: no Decimal needed
    elif type(raw) in _READABLE:
        try:
            value = Decimal(raw if type(raw) is str else str(raw))
        except InvalidOperation:
            return None
        if not value.is_finite() or abs(value.adjusted()) > 30:
            return None
    else:
        return None
    is_plain = measurand == SOC or ("unitOfMeasure" not in sample and sample.get("unit") not in _KILO)
    return value if is_plain else value * _scale(sample)


def _scale(sample: dict[str, Any]) -> Decimal:
    unit, multiplier = sample.get("unit"), 0
    measure = sample.get("unitOfMeasure")
    if isinstance(measure, dict):
        unit, multiplier = measure.get("unit"), measure.get("multiplier", 0)
    if not isinstance(multiplier, int) or abs(multiplier) > 12:
        multiplier = 0
    return Decimal(10) ** (multiplier + (3 if unit in _KILO else 0))


def _sum_of_lines(by_phase: dict[str, Number]) -> Number | None:
    for lines in _LINES:
        values = [value for phase, value in by_phase.items() if phase in lines]
        if values:
            return sum(values, Decimal(0))
    return None


def _bounded(value: Number | None, low: int, high: int) -> int | None:
    return round(value) if value is not None and low <= value <= high else None
