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
_WH, _W = {"wh": 0, "kwh": 3, "mwh": 6}, {"w": 0, "kw": 3, "mw": 6}  # powers of ten
_POWERS = {ENERGY: _WH, INTERVAL: _WH, POWER: _W}
_PLAIN_OF = {ENERGY: (None, "Wh"), INTERVAL: (None, "Wh"), POWER: (None, "W")}
_LINES = ({"L1", "L2", "L3"}, {"L1-N", "L2-N", "L3-N"})
OUTLET = "Outlet"
_NEXT_BEST = ("Cable", "Inlet", "Body", "EV", "Upstream")  # OCPP 1.6 section 7.28, 2.x LocationEnumType
_Elsewhere = dict[str, tuple[dict[str, Number], dict[str, dict[str, Number]]]]


class Sampled(NamedTuple):
    """What one moment of a meter says; None: not said, or not believable."""

    energy_wh: int | None
    power_w: int | None
    soc_percent: float | None
    context: str
    interval_wh: int | None = None


def normalise(samples: Sequence[Any]) -> Sampled:
    """Read a sampledValue list (OCPP 1.6 strings with `unit`, 2.x numbers with `unitOfMeasure`).

    What is measured at the outlet counts, which is the default location; another place (the inlet of the station, the
    EV) is only read for what nobody measures at the outlet, and always the same one. The total without phase wins,
    else the phases are summed (chargers send both). Signed data is kept by the caller, not read.
    """
    context = ""
    totals: dict[str, Number] = {}
    phases: dict[str, dict[str, Number]] = {}
    elsewhere: _Elsewhere | None = None
    for sample in samples:
        if type(sample) is not dict:
            continue
        measurand = sample.get("measurand", ENERGY)
        if type(measurand) is not str or measurand not in WANTED or sample.get("format") == "SignedData":
            continue
        if (value := _value(sample, measurand)) is None:
            continue
        context = sample.get("context") or context
        location = sample.get("location")
        if location is None or location == OUTLET or measurand == SOC or str(location).casefold() == "outlet":
            here, lines = totals, phases
        else:
            elsewhere = {} if elsewhere is None else elsewhere
            here, lines = elsewhere.setdefault(str(location), ({}, {}))
        if phase := sample.get("phase"):
            lines.setdefault(measurand, {})[str(phase)] = value
        else:
            here[measurand] = value
    if phases:
        _add_lines(totals, phases)
    if elsewhere:
        _add_missing(totals, elsewhere)
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
    if measurand == SOC or ("unitOfMeasure" not in sample and sample.get("unit") in _PLAIN_OF[measurand]):
        return value
    scale = _scale(sample, measurand)
    return None if scale is None else value * scale


def _scale(sample: dict[str, Any], measurand: str) -> Decimal | None:
    """None for a unit that we do not know, or that is of something else: better no value than a wrong one."""
    unit, multiplier = sample.get("unit"), 0
    measure = sample.get("unitOfMeasure")
    if isinstance(measure, dict):
        unit, multiplier = measure.get("unit"), measure.get("multiplier", 0)
    if type(multiplier) is float and multiplier.is_integer():
        multiplier = int(multiplier)
    power = 0 if unit in (None, "") else _POWERS[measurand].get(str(unit).strip().casefold())
    if power is None or type(multiplier) is not int or abs(multiplier) > 12:
        return None
    return Decimal(10) ** (multiplier + power)


def _add_lines(totals: dict[str, Number], phases: dict[str, dict[str, Number]]) -> None:
    for measurand, by_phase in phases.items():
        if measurand not in totals and (total := _sum_of_lines(by_phase)) is not None:
            totals[measurand] = total


def _add_missing(totals: dict[str, Number], elsewhere: _Elsewhere) -> None:
    """Places in one order, whatever order they are said in: a register must not change its place within a session."""
    for name in (*_NEXT_BEST, *sorted(elsewhere.keys() - {*_NEXT_BEST})):
        if name in elsewhere:
            there, lines = elsewhere[name]
            _add_lines(there, lines)
            for measurand, value in there.items():
                totals.setdefault(measurand, value)


def _sum_of_lines(by_phase: dict[str, Number]) -> Number | None:
    for lines in _LINES:
        values = [value for phase, value in by_phase.items() if phase in lines]
        if values:
            return sum(values, Decimal(0))
    return None


def _bounded(value: Number | None, low: int, high: int) -> int | None:
    return round(value) if value is not None and low <= value <= high else None
