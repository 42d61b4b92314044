"""A network's bill as CSV or XLSX, line by line: columns by a mapping, a reason for what cannot be used. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.cpo_bills import workbook

NAMES = ("reference", "started_at", "energy", "total")
NEEDED = ("reference", "total")
MOST_LINES = 1_000_000
MOST_TOLD = 100
MOST_UNPACKED_BYTES = 250_000_000
DAY = datetime(2026, 11, 30, 13, 45, 50)


@dataclass(frozen=True)
class Layout:
    """Which heading says what, and how they write it."""

    columns: Mapping[str, str]
    date_format: str = "%Y-%m-%d %H:%M:%S"
    time_zone: str = "Asia/Kolkata"
    is_energy_in_wh: bool = False
    separator: str = ","


@dataclass(frozen=True)
class Line:
    """One usable line; `number` counts from 2, below the headings."""

    number: int
    reference: str
    total_paise: int
    started_at: datetime | None = None
    energy_wh: int | None = None


@dataclass(frozen=True)
class Flaw:
    """A line that cannot be used, and why."""

    number: int
    why: str


class UnusableBill(ValueError):
    """The file as a whole cannot be read: no such column, no line."""


def read_file(file: BinaryIO, how: Layout) -> Iterator[Line | Flaw]:
    """A CSV in UTF-8, or the first sheet of an XLSX, line by line; raises UnusableBill, as `read` does."""
    try:
        if workbook.is_one(file):
            sheet = workbook.rows(file, date_format=how.date_format, most_bytes=MOST_UNPACKED_BYTES)
            yield from read_rows(sheet, how)
        else:
            yield from read(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), how)
    except UnicodeDecodeError as error:
        raise UnusableBill("The file is not UTF-8") from error
    except (workbook.UnusableWorkbook, csv.Error) as error:
        raise UnusableBill(told(error, 300)) from error


def is_date_format(date_format: str) -> bool:
    """Whether dates can be read by it: `%Y%Y` and `%Q` cannot."""
    try:
        datetime.strptime(DAY.strftime(date_format), date_format)
    except (ValueError, re.error):
        return False
    return True


def told(error: object, most: int = MOST_TOLD) -> str:
    """As it can be stored and shown: what a file says may be long, and hold what no database takes."""
    return str(error).replace("\0", " ")[:most]


def read(text: Iterable[str], how: Layout) -> Iterator[Line | Flaw]:
    """Every line is one or the other; raises UnusableBill when the mapping does not fit the file."""
    return read_rows(enumerate(csv.reader(text, delimiter=how.separator), start=1), how)


def read_rows(table: Iterable[tuple[int, list[str]]], how: Layout) -> Iterator[Line | Flaw]:
    """Rows by their numbers, the headings first."""
    rows = iter(table)
    places = _places(next(rows, (1, list[str]()))[1], how)
    zone, is_empty = _zone(how.time_zone), True
    if "started_at" in places and not is_date_format(how.date_format):
        raise UnusableBill(f"No such way to write dates: {told(how.date_format)}")
    for number, row in rows:
        if number > MOST_LINES + 1:
            raise UnusableBill(f"More than {MOST_LINES:,} lines")
        values = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
        if any(values.values()):
            is_empty = False
            yield _line_or_flaw(number, values, how, zone)
    if is_empty:
        raise UnusableBill("No line")


def _places(row: Sequence[str], how: Layout) -> dict[str, int]:
    headings = [name.strip() for name in row]
    if missing := [name for name in NEEDED if how.columns.get(name, "") not in headings]:
        found_there = told(", ".join(sorted(headings)), 300)
        raise UnusableBill(f"No column for: {', '.join(missing)}. The file has: {found_there}")
    return {name: headings.index(how.columns[name]) for name in NAMES if how.columns.get(name, "") in headings}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UnusableBill(f"No such time zone: {name}") from error


def _line_or_flaw(number: int, values: dict[str, str], how: Layout, zone: ZoneInfo) -> Line | Flaw:
    try:
        return _line(number, values, how, zone)
    except ValueError as error:
        return Flaw(number, told(error))


def _line(number: int, values: dict[str, str], how: Layout, zone: ZoneInfo) -> Line:
    if not values["reference"] or len(values["reference"]) > 60:
        raise ValueError("no reference, or one of more than 60 characters")
    if "\0" in values["reference"]:
        raise ValueError("a reference with a character that is none (NUL)")
    at, energy = values.get("started_at"), values.get("energy")
    wh = None if not energy else _whole(energy, "energy", 1 if how.is_energy_in_wh else 1_000)
    if wh is not None and wh < 0:
        raise ValueError(f"energy below zero: {energy}")
    started_at = datetime.strptime(at, how.date_format).replace(tzinfo=zone) if at else None
    return Line(number, values["reference"], _whole(values["total"], "amount", 100), started_at, wh)


def _whole(text: str, what: str, factor: int) -> int:
    """`1,234.50` and `₹ 1234.5`; not rounded: more digits than there are is a problem."""
    try:
        value = Decimal(text.replace(",", "").replace("₹", "").strip()) * factor
        if value != value.to_integral_value() or abs(value) >= 10**15:
            raise ValueError(f"{what} is too fine or too large: {text}")
    except InvalidOperation as error:
        raise ValueError(f"{what} is no number: {text}") from error
    return int(value)
