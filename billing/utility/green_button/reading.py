"""A Green Button file as readings in whole Wh and bills in paise, or the one reason why it cannot be believed. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from xml.etree.ElementTree import Element

from billing.utility.green_button.words import (
    ATOM,
    ESPI,
    FORWARD,
    INR,
    MONEY_UNITS_PER_PAISA,
    WATT_HOURS,
    WATTS,
    BadFeed,
    Feed,
    Reading,
    Summary,
)
from billing.utility.green_button.xml import parse

MOST_READINGS, LONGEST_S, MOST_POWER_OF_TEN = 300_000, 40 * 86_400, 9
FIRST_SECOND, LAST_SECOND = 946_684_800, 4_102_444_800  # 2000 to 2100
MOST_WH = 10**15
Kind = tuple[int, int, int]  # uom, power of ten, seconds of an interval (0: not said)


def read(data: bytes) -> Feed:
    """Raises BadFeed with its code; several readings of one place are put together in time order."""
    root = parse(data)
    if root.tag != f"{{{ATOM}}}feed":
        raise BadFeed("not_green_button", "The file is no Atom feed.")
    entries = root.findall(f"{{{ATOM}}}entry")
    if len(_of(entries, "UsagePoint")) > 1:
        raise BadFeed("several_places", "The file holds more than one usage point: export them one by one.")
    kinds = {
        _self(entry) or f"#{number}": _kind(found, _title(entry))
        for number, (entry, found) in enumerate(_of(entries, "ReadingType"))
    }
    meters = {_self(entry): _related(entry) for entry, _ in _of(entries, "MeterReading")}
    readings: list[Reading] = []
    for entry, block in _of(entries, "IntervalBlock"):
        readings += _block(block, _kind_of(entry, kinds, meters), _title(entry))
        if len(readings) > MOST_READINGS:
            raise BadFeed("too_large", f"The file holds more than {MOST_READINGS} readings.")
    readings.sort()
    _in_line(readings)
    summaries = [_summary(found, _title(entry)) for entry, found in _of(entries, "UsageSummary")]
    summaries += [_summary(found, _title(entry)) for entry, found in _of(entries, "ElectricPowerUsageSummary")]
    if not readings and not summaries:
        raise BadFeed("no_readings", "The file holds neither readings nor a bill.")
    title = (root.findtext(f"{{{ATOM}}}title") or "").strip()
    return Feed(title[:200], tuple(readings), tuple(summaries), _offset(entries))


def _of(entries: list[Element], name: str) -> list[tuple[Element, Element]]:
    path = f"{{{ATOM}}}content/{{{ESPI}}}{name}"
    return [(entry, found) for entry in entries for found in entry.findall(path)]


def _title(entry: Element) -> str:
    return (entry.findtext(f"{{{ATOM}}}title") or entry.findtext(f"{{{ATOM}}}id") or "").strip()[:80]


def _links(entry: Element, relation: str) -> Iterator[str]:
    for link in entry.findall(f"{{{ATOM}}}link"):
        if link.get("rel") == relation and link.get("href"):
            yield str(link.get("href")).rstrip("/")


def _self(entry: Element) -> str:
    return next(_links(entry, "self"), "")


def _related(entry: Element) -> list[str]:
    return list(_links(entry, "related"))


def _kind_of(entry: Element, kinds: dict[str, Kind], meters: dict[str, list[str]]) -> Kind:
    """By the links block, meter reading, reading type; where there is only one type, it is meant."""
    for above in _links(entry, "up"):
        for link in meters.get(above.removesuffix("/IntervalBlock"), []):
            if link in kinds:
                return kinds[link]
    if len(kinds) == 1 and (not meters or len(meters) == 1):
        return next(iter(kinds.values()))
    raise BadFeed("no_reading_type", "Nothing says what the readings measure (ReadingType).", _title(entry))


def _kind(found: Element, where: str) -> Kind:
    uom = _integer(found, "uom", where)
    if uom not in (WATT_HOURS, WATTS):
        raise BadFeed("wrong_unit", f"Readings in unit {uom} are neither Wh (72) nor W (38).", where)
    if (flow := _integer(found, "flowDirection", where, FORWARD)) != FORWARD:
        raise BadFeed("wrong_direction", f"Readings flow in direction {flow}, not into the depot (1).", where)
    power = _integer(found, "powerOfTenMultiplier", where, 0)
    if abs(power) > MOST_POWER_OF_TEN:
        raise BadFeed("bad_value", f"{power} is no power of ten to multiply by.", where)
    return uom, power, _integer(found, "intervalLength", where, 0)


def _block(block: Element, kind: Kind, where: str) -> list[Reading]:
    """Fractions of a Wh are carried into the next interval, so that the block's total is right."""
    uom, power, length_s = kind
    scale = Fraction(10) ** power
    whole, carried, readings = 0, Fraction(0), []
    for row in block.findall(f"{{{ESPI}}}IntervalReading"):
        starts_at, seconds = _period(row, "timePeriod", where)
        if length_s and seconds != length_s:
            raise BadFeed("interval_length", f"An interval has {seconds} s, its type says {length_s} s.", where)
        value = _integer(row, "value", where)
        if value < 0:
            raise BadFeed("bad_value", f"{value} at {starts_at:%Y-%m-%d %H:%M} is below zero.", where)
        carried += value * scale * (Fraction(seconds, 3600) if uom == WATTS else 1)
        energy_wh = int(carried) - whole
        whole += energy_wh
        if energy_wh > MOST_WH:
            raise BadFeed("bad_value", f"{energy_wh} Wh in one interval cannot be.", where)
        quality = row.find(f"{{{ESPI}}}ReadingQuality/{{{ESPI}}}quality")
        readings.append(Reading(starts_at, seconds, energy_wh, 0 if quality is None else _number(quality.text, where)))
    return readings


def _in_line(readings: list[Reading]) -> None:
    for before, after in pairwise(readings):
        if (after.starts_at - before.starts_at).total_seconds() < before.seconds:
            at = after.starts_at.isoformat()
            raise BadFeed("overlapping", f"Two intervals overlap at {at}.")


def _summary(found: Element, where: str) -> Summary:
    """The parts are kept when they make up the bill; else there is one figure."""
    starts_at, seconds = _period(found, "billingPeriod", where)
    currency = _integer(found, "currency", where, INR)
    if currency != INR:
        raise BadFeed("wrong_currency", f"The bill is in currency {currency}, not in rupees (356).", where)
    units = _integer(found, "billLastPeriod", where)
    items = []
    for row in found.findall(f"{{{ESPI}}}costAdditionalDetailLastPeriod"):
        if row.find(f"{{{ESPI}}}amount") is not None:
            items.append(((row.findtext(f"{{{ESPI}}}note") or "").strip(), _integer(row, "amount", where)))
    is_whole = sum(amount for _, amount in items) == units and not any(a % MONEY_UNITS_PER_PAISA for _, a in items)
    paise = (2 * units + MONEY_UNITS_PER_PAISA) // (2 * MONEY_UNITS_PER_PAISA)
    parts = tuple((note, amount // MONEY_UNITS_PER_PAISA) for note, amount in items) if is_whole else ()
    return Summary(starts_at, seconds, paise, _overall(found, where), parts)


def _overall(found: Element, where: str) -> int | None:
    overall = found.find(f"{{{ESPI}}}overallConsumptionLastPeriod")
    if overall is None:
        return None
    if (uom := _integer(overall, "uom", where, WATT_HOURS)) != WATT_HOURS:
        raise BadFeed("wrong_unit", f"The bill's energy is in unit {uom}, not in Wh (72).", where)
    scale = Fraction(10) ** _integer(overall, "powerOfTenMultiplier", where, 0)
    return int(_integer(overall, "value", where) * scale)


def _offset(entries: list[Element]) -> int | None:
    for entry, found in _of(entries, "LocalTimeParameters"):
        return _integer(found, "tzOffset", _title(entry), 0)
    return None


def _period(row: Element, name: str, where: str) -> tuple[datetime, int]:
    found = row.find(f"{{{ESPI}}}{name}")
    if found is None:
        raise BadFeed("bad_value", f"There is no {name}.", where)
    start, seconds = _integer(found, "start", where), _integer(found, "duration", where)
    if not (FIRST_SECOND <= start < LAST_SECOND and 0 < seconds <= LONGEST_S):
        raise BadFeed("bad_value", f"{start} for {seconds} s is no time for a reading.", where)
    return datetime.fromtimestamp(start, UTC), seconds


def _integer(row: Element, name: str, where: str, default: int | None = None) -> int:
    text = row.findtext(f"{{{ESPI}}}{name}")
    if text is None and default is not None:
        return default
    return _number(text, where, name)


def _number(text: str | None, where: str, name: str = "A value") -> int:
    plain = (text or "").strip()
    digits = plain.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise BadFeed("bad_value", f"{name} is {plain[:40]!r}, not a whole number.", where)
    return int(plain)
