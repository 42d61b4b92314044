"""A second, slow calculation of a price from the words of OCPI 2.2.1, in exact fractions; and random sessions for it.

Shares nothing with the product: it reads the raw tariff, cuts a session at every instant that could matter and judges
each piece at its middle. Use: `before_and_after(case)` beside `rate(...)`.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

KINDS = ("ENERGY", "TIME", "PARKING_TIME", "FLAT")
ENTIRE = {"ENERGY": 1000, "TIME": 3600, "PARKING_TIME": 3600, "FLAT": 1}
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
Stretch = tuple[Fraction, Fraction, bool, Fraction | None, Fraction | None]
"""Seconds, Wh, is it parking, W, A."""


class CannotBeDecided(Exception):
    """A restriction asks for power or current that nobody measured."""


@dataclass(frozen=True)
class Case:
    elements: list[dict[str, Any]]
    stretches: list[Stretch]
    at: datetime
    zone: str
    gst: int
    is_interstate: bool
    terms: dict[str, Any]
    reserved: tuple[datetime, int, bool] | None


@dataclass(frozen=True)
class Part:
    kind: str
    amount: Fraction
    price: Fraction
    vat: Fraction | None


def price_of(case: Case) -> tuple[int, int, int, int]:
    """(taxable, CGST, SGST, IGST) in paise. Raises CannotBeDecided; ArithmeticError for limits that cannot be."""
    usual = [raw for raw in case.elements if not _limits(raw).get("reservation")]
    parts = _parts(usual, case.stretches, case.at, ZoneInfo(case.zone))
    if case.reserved is not None:
        parts += _reservation(case)
    return _taxed(parts, case)


# --- what applies where -------------------------------------------------------------------------------------------
def _limits(raw: dict[str, Any]) -> dict[str, Any]:
    return raw.get("restrictions") or {}


def _component(raw: dict[str, Any], kind: str) -> dict[str, Any] | None:
    return next((one for one in raw["price_components"] if one["type"] == kind), None)


def _parts(elements: list[dict[str, Any]], stretches: list[Stretch], at: datetime, zone: ZoneInfo) -> list[Part]:
    used: dict[tuple[str, int], Fraction] = {}
    last: dict[str, int] = {}
    offset, energy = Fraction(0), Fraction(0)
    length = sum((one[0] for one in stretches), Fraction(0))
    instants = _instants(elements, at, zone, length)
    for seconds, wh, is_parking, power, current in stretches or [(Fraction(0), Fraction(0), False, None, None)]:
        for low, high in pairwise(_shares(elements, instants, offset, energy, seconds, wh)):
            middle = (low + high) / 2
            moment = (Fraction(0), Fraction(0)) if is_parking else (power, current)
            amounts = {
                "FLAT": Fraction(1),
                "ENERGY": (high - low) * wh,
                "PARKING_TIME" if is_parking else "TIME": (high - low) * seconds,
            }
            for kind, amount in amounts.items():
                if not amount:
                    continue
                where = offset + middle * seconds
                index = _first(elements, kind, _local(at, where, zone), where, energy + middle * wh, moment)
                if index is None:
                    continue
                used[kind, index] = Fraction(1) if kind == "FLAT" else used.get((kind, index), Fraction(0)) + amount
                last[kind] = index
        offset, energy = offset + seconds, energy + wh
    _step(elements, used, last)
    return [_part(elements, kind, index, amount) for (kind, index), amount in used.items()]


def _part(elements: list[dict[str, Any]], kind: str, index: int, amount: Fraction) -> Part:
    told = _component(elements[index], kind)
    assert told is not None
    vat = None if told.get("vat") is None else Fraction(str(told["vat"]))
    return Part(kind, amount / ENTIRE[kind], Fraction(str(told["price"])) * 100, vat)


def _local(at: datetime, where: Fraction, zone: ZoneInfo) -> datetime:
    return (at.astimezone(UTC) + timedelta(microseconds=floor(where * 1_000_000))).astimezone(zone)


def _instants(elements: list[dict[str, Any]], at: datetime, zone: ZoneInfo, length: Fraction) -> set[Fraction]:
    """Every quarter of an hour, for changes of the clock; every clock time of the tariff on every day."""
    start = at.astimezone(UTC)
    first = start.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    days = range(ceil(length / 86_400) + 5)
    grid = [first + timedelta(days=day, minutes=15 * quarter) for day in days for quarter in range(96)]
    found = set(grid)
    offsets = {instant.astimezone(zone).utcoffset() for instant in grid}
    clocks = {_limits(raw)[name] for raw in elements for name in ("start_time", "end_time") if name in _limits(raw)}
    for clock in clocks | {"00:00"}:
        hours, minutes = map(int, clock.split(":"))
        for day in days:
            for offset in offsets:
                assert offset is not None
                found.add(first + timedelta(days=day, hours=hours, minutes=minutes) - offset)
    return {Fraction((instant - start) // timedelta(microseconds=1), 1_000_000) for instant in found}


def _shares(
    elements: list[dict[str, Any]], instants: set[Fraction], offset: Fraction, energy: Fraction, seconds: Fraction,
    wh: Fraction,
) -> list[Fraction]:  # fmt: skip
    shares = {Fraction(0), Fraction(1)}
    if seconds:
        durations = {Fraction(_limits(raw)[name]) for raw in elements
                     for name in ("min_duration", "max_duration") if name in _limits(raw)}  # fmt: skip
        shares |= {
            (instant - offset) / seconds for instant in instants | durations if offset < instant < offset + seconds
        }
    if wh:
        amounts = {Fraction(str(_limits(raw)[name])) * 1000 for raw in elements
                   for name in ("min_kwh", "max_kwh") if name in _limits(raw)}  # fmt: skip
        shares |= {(amount - energy) / wh for amount in amounts if energy < amount < energy + wh}
    return sorted(shares)


def _first(
    elements: list[dict[str, Any]], kind: str, local: datetime, elapsed: Fraction, wh: Fraction,
    moment: tuple[Fraction | None, Fraction | None],
) -> int | None:  # fmt: skip
    for index, raw in enumerate(elements):
        if _component(raw, kind) is not None and _applies(_limits(raw), local, elapsed, wh, moment):
            return index
    return None


def _applies(
    limits: dict[str, Any], local: datetime, elapsed: Fraction, wh: Fraction,
    moment: tuple[Fraction | None, Fraction | None],
) -> bool:  # fmt: skip
    clock, day = local.strftime("%H:%M"), local.strftime("%Y-%m-%d")
    start, end = limits.get("start_time", "00:00"), limits.get("end_time", "24:00")
    end = "24:00" if end == "00:00" else end
    if not (clock >= start or clock < end if end < start else start <= clock < end):
        return False
    if "day_of_week" in limits and DAYS[local.weekday()] not in limits["day_of_week"]:
        return False
    if not limits.get("start_date", "0000") <= day < limits.get("end_date", "9999"):
        return False
    for value, name, factor in ((wh, "kwh", 1000), (elapsed, "duration", 1)):
        if not _between(limits, value, name, factor):
            return False
    for measured, name in zip(moment, ("power", "current"), strict=True):
        if (f"min_{name}" in limits or f"max_{name}" in limits) and measured is None:
            raise CannotBeDecided(name)
    return all(
        measured is None or _between(limits, measured, name, factor)
        for measured, name, factor in zip(moment, ("power", "current"), (1000, 1), strict=True)
    )


def _between(limits: dict[str, Any], value: Fraction, name: str, factor: int) -> bool:
    low, high = limits.get(f"min_{name}"), limits.get(f"max_{name}")
    return (low is None or value >= Fraction(str(low)) * factor) and (
        high is None or value < Fraction(str(high)) * factor
    )


def _step(elements: list[dict[str, Any]], used: dict[tuple[str, int], Fraction], last: dict[str, int]) -> None:
    for kind in ("ENERGY", "PARKING_TIME" if "PARKING_TIME" in last else "TIME"):
        if kind in last:
            told = _component(elements[last[kind]], kind)
            step = int(told["step_size"]) if told else 0
            total = sum((amount for (name, _), amount in used.items() if name == kind), Fraction(0))
            if step > 1:
                used[kind, last[kind]] += ceil(total / step) * step - total


def _reservation(case: Case) -> list[Part]:
    assert case.reserved is not None
    at, seconds, is_expired = case.reserved
    stretch: list[Stretch] = [(Fraction(seconds), Fraction(0), False, None, None)]
    zone = ZoneInfo(case.zone)
    of_kind = {
        kind: [raw for raw in case.elements if _limits(raw).get("reservation") == kind]
        for kind in ("RESERVATION", "RESERVATION_EXPIRES")
    }
    waiting = _parts(of_kind["RESERVATION"], stretch, at, zone) if of_kind["RESERVATION"] else []
    if not is_expired:
        return waiting
    if any(_component(raw, "TIME") for raw in of_kind["RESERVATION_EXPIRES"]):
        waiting = [part for part in waiting if part.kind != "TIME"]
    return waiting + (
        _parts(of_kind["RESERVATION_EXPIRES"], stretch, at, zone) if of_kind["RESERVATION_EXPIRES"] else []
    )


# --- limits, tax, rounding ----------------------------------------------------------------------------------------
def _taxed(parts: list[Part], case: Case) -> tuple[int, int, int, int]:
    terms, usual = case.terms, Fraction(case.gst)
    percents = [usual if part.vat is None else part.vat for part in parts]
    is_included = terms.get("tax_included") == "YES"
    costs = [
        part.amount * part.price / (1 + percent / 100 if is_included else 1)
        for part, percent in zip(parts, percents, strict=True)
    ]
    before = sum(costs, Fraction(0))
    after = sum((cost * (1 + percent / 100) for cost, percent in zip(costs, percents, strict=True)), Fraction(0))
    first = percents[0] if percents else usual
    clamped = _clamp(before, terms, "before_taxes")
    moved_by = terms.get("min_price" if clamped > before else "max_price", {})
    if clamped != before and "after_taxes" not in moved_by:
        after += (clamped - before) * (1 + first / 100)
    if clamped < 0:
        raise ArithmeticError
    says_after = is_included or any("after_taxes" in terms.get(name, {}) for name in ("min_price", "max_price"))
    if says_after:
        after = _clamp(after, terms, "after_taxes")
        if after < clamped:
            raise ArithmeticError
        heads = _heads(after - clamped, case.is_interstate)
        return (_half_up(after) - sum(heads), *heads)
    taxable = _half_up(clamped)
    every = set(percents) | ({first} if clamped != before else set()) or {usual}
    if len(every) == 1:
        return (taxable, *_heads(taxable * every.pop() / 100, case.is_interstate))
    return (taxable, *_heads(after - clamped, case.is_interstate))


def _clamp(value: Fraction, terms: dict[str, Any], side: str) -> Fraction:
    low, high = (terms.get(name, {}).get(side) for name in ("min_price", "max_price"))
    value = value if low is None else max(value, Fraction(str(low)) * 100)
    return value if high is None else min(value, Fraction(str(high)) * 100)


def _heads(tax: Fraction, is_interstate: bool) -> tuple[int, int, int]:
    half = _half_up(tax / 2)
    return (0, 0, _half_up(tax)) if is_interstate else (half, half, 0)


def _half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


# --- random sessions ----------------------------------------------------------------------------------------------
ZONES = ("Asia/Kolkata", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
MOMENTS = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin goes forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # and back
    datetime(2026, 11, 1, 6, tzinfo=UTC),  # New York goes back
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe, by half an hour
    datetime(2028, 2, 28, 18, 30, tzinfo=UTC),  # the leap day begins in India
    datetime(2028, 2, 29, 18, 30, tzinfo=UTC),
    datetime(2027, 2, 28, 18, 30, tzinfo=UTC),
    datetime(2026, 12, 31, 18, 30, tzinfo=UTC),  # a new year
    datetime(2026, 11, 30, 18, 30, tzinfo=UTC),  # a month ends
    datetime(2026, 11, 20, 6, 30, tzinfo=UTC),
)


def random_case(dice: random.Random) -> Case:
    at = dice.choice(MOMENTS) + timedelta(seconds=dice.randint(-9_000, 9_000))
    if dice.random() < 0.1:
        at += timedelta(microseconds=dice.randint(1, 999_999))
    elements = [_random_element(dice, at) for _ in range(dice.randint(1, 5))]
    if not any(not _limits(raw).get("reservation") for raw in elements):
        elements.append({"price_components": [_random_component(dice, "ENERGY")]})
    reserved = None
    if dice.random() < 0.15:
        reserved = (at - timedelta(minutes=dice.randint(1, 200)), dice.randint(0, 9_000), dice.random() < 0.3)
    return Case(
        elements, [_random_stretch(dice) for _ in range(dice.randint(1, 8))], at, dice.choice(ZONES),
        dice.choice((0, 5, 18)), dice.random() < 0.3, _random_terms(dice), reserved,
    )  # fmt: skip


def _random_component(dice: random.Random, kind: str) -> dict[str, Any]:
    step = dice.choice((0, 1, 1, 1, 60, 300, 500, 1000))
    told = {"type": kind, "price": f"{dice.randint(0, 500_000) / 10_000:.4f}", "step_size": step}
    return told if dice.random() < 0.8 else {**told, "vat": dice.choice(("0", "5", "12.5", "18"))}


def _random_element(dice: random.Random, at: datetime) -> dict[str, Any]:
    kinds = dice.sample(KINDS, dice.randint(1, 4))
    limits = {**_random_clock(dice, at), **_random_amounts(dice)}
    if dice.random() < 0.15:
        limits["reservation"] = dice.choice(("RESERVATION", "RESERVATION_EXPIRES"))
    return {"price_components": [_random_component(dice, kind) for kind in kinds], "restrictions": limits}


def _random_clock(dice: random.Random, at: datetime) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name in ("start_time", "end_time"):
        if dice.random() < 0.5:
            limits[name] = f"{dice.randint(0, 23):02d}:{dice.choice((0, 0, 15, 30, 59)):02d}"
    if dice.random() < 0.25:
        limits["day_of_week"] = dice.sample(DAYS, dice.randint(1, 6))
    for name, latest in (("start_date", 1), ("end_date", 2)):
        if dice.random() < 0.15:
            limits[name] = f"{at + timedelta(days=dice.randint(-1, latest)):%Y-%m-%d}"
    return limits


def _random_amounts(dice: random.Random) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, most, unit in (("kwh", 40, 0.5), ("duration", 9_000, 1)):
        for side in ("min", "max"):
            if dice.random() < 0.2:
                limits[f"{side}_{name}"] = dice.randint(0, most) * unit
    for name, most in (("power", 60), ("current", 100)):
        if dice.random() < 0.06:
            limits[f"{dice.choice(('min', 'max'))}_{name}"] = dice.randint(0, most)
    return limits


def _random_stretch(dice: random.Random) -> Stretch:
    seconds, wh = Fraction(dice.choice((0, 1, 60, dice.randint(1, 9_000)))), Fraction(dice.randint(0, 15_000))
    if dice.random() < 0.05:
        seconds, wh = seconds + Fraction(1, 3), wh + Fraction(dice.randint(0, 999), 1000)
    if dice.random() < 0.3:
        return seconds, Fraction(0), True, None, None
    measured = dice.random() < 0.9
    power, current = Fraction(dice.randint(0, 60_000)), Fraction(dice.randint(0, 100))
    return seconds, wh, False, power if measured else None, current if measured else None


def _random_terms(dice: random.Random) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if dice.random() < 0.2:
        terms["min_price"] = {"before_taxes": f"{dice.randint(0, 20_000) / 100:.2f}"}
        if dice.random() < 0.3:
            terms["min_price"]["after_taxes"] = f"{dice.randint(0, 25_000) / 100:.2f}"
    if dice.random() < 0.2:
        most = dice.randint(10_000, 90_000)
        terms["max_price"] = {"before_taxes": f"{most / 100:.2f}"}
        if dice.random() < 0.3:
            terms["max_price"]["after_taxes"] = f"{most * dice.choice((105, 118, 128)) / 10_000:.4f}"
    if dice.random() < 0.1:
        terms["tax_included"] = "YES"
    return terms
