"""Sampled values of every OCPP version, brought to integer Wh, W and percent. Pure; Decimal, never float sums."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from billing.services.meters import MeterReading
    from ocpp_bridge.quirks import QuirkProfile
    from ocpp_bridge.v16.typed import Sample

ENERGY, POWER, SOC = "Energy.Active.Import.Register", "Power.Active.Import", "SoC"
INTERVAL = "Energy.Active.Import.Interval"
WANTED = frozenset({ENERGY, POWER, SOC, INTERVAL})
MAX_ENERGY_WH = 10**13  # ten terawatt-hours: beyond is a broken meter, and would not fit what we add it to
MAX_POWER_W = 2 * 10**9
Number = int | Decimal
_WH, _W = {"wh": 0, "kwh": 3, "mwh": 6}, {"w": 0, "kw": 3, "mw": 6}  # powers of ten
_POWERS = {ENERGY: _WH, INTERVAL: _WH, POWER: _W}
_PLAIN_UNITS = {ENERGY: (None, "Wh"), INTERVAL: (None, "Wh"), POWER: (None, "W")}
MAX_PLANS = 1_000
LONGEST_KEY = 250
_LINES = ({"L1", "L2", "L3"}, {"L1-N", "L2-N", "L3-N"})
OUTLET = "Outlet"
_NEXT_BEST = ("Cable", "Inlet", "Body", "EV", "Upstream")  # OCPP 1.6 section 7.28, 2.x LocationEnumType
Plan = tuple[str, Decimal | None, str | None, str | None]  # measurand, factor, where if not at the outlet, phase
_PLANS: dict[tuple[Any, ...], Plan | None] = {}
_TYPED_PLANS: dict[tuple[Any, ...], Plan | None] = {}
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
    return _sum_up([(_plan_of(one), one.get("value"), one.get("context")) for one in samples if type(one) is dict])


def normalise_typed(samples: "Sequence[Sample]") -> Sampled:
    """The same of the classes of v16/typed.py."""
    return _sum_up([(_plan_of_typed(one), one.value, one.context) for one in samples])


def _sum_up(said: Iterable[tuple[Plan | None, Any, Any]]) -> Sampled:
    """Plan, value and context of each sample."""
    context: Any = ""
    totals: dict[str, Number] = {}
    odd: list[tuple[Plan, Number]] = []
    for plan, raw, circumstance in said:
        if plan is None or (value := _number(raw)) is None:
            continue
        measurand, scale, location, phase = plan
        if scale is not None:
            value *= scale
        context = circumstance or context
        if location is None and phase is None:
            totals[measurand] = value
        else:
            odd.append((plan, value))
    if odd:
        _add_odd(totals, odd)
    soc, interval = totals.get(SOC), totals.get(INTERVAL)
    return Sampled(
        _bounded(totals.get(ENERGY), 0, MAX_ENERGY_WH),
        _bounded(totals.get(POWER), -MAX_POWER_W, MAX_POWER_W),
        float(soc) if soc is not None and 0 <= soc <= 100 else None,
        str(context)[:20],
        None if interval is None else _bounded(interval, 0, MAX_ENERGY_WH),
    )


def _plan_of_typed(sample: "Sample") -> Plan | None:
    """A few words in few places: all that occurs is remembered."""
    key = sample.measurand, sample.unit, sample.location, sample.phase, sample.format
    try:
        return _TYPED_PLANS[key]
    except KeyError:
        measurand, unit, *rest = (None if word is msgspec.UNSET else word for word in key)
        plan = _TYPED_PLANS[key] = _plan(ENERGY if measurand is None else measurand, unit, 0, *rest)
        return plan


def _plan_of(sample: dict[str, Any]) -> Plan | None:
    """What to make of a sample by all but its value: a charger describes the same few for years."""
    get = sample.get
    measure = get("unitOfMeasure")
    if type(measure) is dict:
        unit, multiplier = measure.get("unit"), measure.get("multiplier", 0)
        key = (get("measurand", ENERGY), unit, multiplier, get("location"), get("phase"), get("format"))
        if type(multiplier) is not int:  # true and 1.0 are the same key as 1
            return _plan(*key)
    else:
        key = (get("measurand", ENERGY), get("unit"), 0, get("location"), get("phase"), get("format"))
    try:
        return _PLANS[key]
    except TypeError:  # a list or an object where a word belongs
        return _plan(*key)
    except KeyError:
        plan = _plan(*key)
        if len(repr(key)) <= LONGEST_KEY:
            if len(_PLANS) >= MAX_PLANS:
                _PLANS.clear()  # somebody makes words up; the real ones are soon back
            _PLANS[key] = plan
        return plan


def _plan(measurand: Any, unit: Any, multiplier: Any, location: Any, phase: Any, form: Any) -> Plan | None:
    """None: not wanted, or in a unit that we do not know, or of something else; better no value than a wrong one."""
    if type(measurand) is not str or measurand not in WANTED or form == "SignedData":
        return None
    scale: Decimal | None = None
    if measurand != SOC and (unit not in _PLAIN_UNITS[measurand] or multiplier != 0):
        scale = _scale(unit, multiplier, measurand)
        if scale is None:
            return None
    is_here = location is None or measurand == SOC or str(location).casefold() == OUTLET.casefold()
    return measurand, scale, None if is_here else str(location), str(phase) if phase else None


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


def _number(raw: Any) -> Number | None:
    if type(raw) is str:  # nine of ten need no Decimal
        whole, _, fraction = raw.partition(".")
        if whole.isdecimal() and whole.isascii() and len(whole) < 16 and not fraction.strip("0"):
            return int(whole)
    elif type(raw) is not int and type(raw) is not float:
        return None
    try:
        value = Decimal(raw if type(raw) is str else str(raw))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) <= 30 else None


def _scale(unit: Any, multiplier: Any, measurand: str) -> Decimal | None:
    """What to multiply with; None for a unit that we do not know."""
    if type(multiplier) is float and multiplier.is_integer():
        multiplier = int(multiplier)
    power = 0 if unit in (None, "") else _POWERS[measurand].get(str(unit).strip().casefold())
    if power is None or type(multiplier) is not int or abs(multiplier) > 12:
        return None
    return Decimal(10) ** (multiplier + power)


def _add_odd(totals: dict[str, Number], odd: list[tuple[Plan, Number]]) -> None:
    """What was measured on single phases, or at another place."""
    phases: dict[str, dict[str, Number]] = {}
    elsewhere: _Elsewhere = {}
    for (measurand, _, location, phase), value in odd:
        here, lines = (totals, phases) if location is None else elsewhere.setdefault(location, ({}, {}))
        if phase is None:
            here[measurand] = value
        else:
            lines.setdefault(measurand, {})[phase] = value
    _add_lines(totals, phases)
    _add_missing(totals, elsewhere)


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
    if value is None or not low <= value <= high:
        return None
    return value if type(value) is int else round(value)
