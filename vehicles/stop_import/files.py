"""A CSV of stops as a planner exports it: each line read on its own, so that every wrong one is named at once."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from vehicles.fixes import Fix, Problem
from vehicles.places import place_problem

COLUMNS = ("vehicle", "external_id", "name", "latitude", "longitude", "earliest_at", "due_at")
NEEDED = COLUMNS[:5]
MOST_LINES, MOST_COLUMNS = 10_000, 50
INDIA = ZoneInfo("Asia/Kolkata")  # of a time without a zone
YEARS = range(2000, 2100)  # exports write none as year 1 or 9999, which in another zone is an instant nobody can read


class StopLine(NamedTuple):
    """A stop as its line says it; `plate` without blanks, in capitals."""

    line: int
    plate: str
    external_id: str
    name: str
    latitude: float
    longitude: float
    earliest_at: datetime | None
    due_at: datetime | None


class LineProblem(NamedTuple):
    """Why a line cannot be taken; `line` as an editor counts them."""

    line: int
    column: str
    code: str
    detail: str


class UnreadableFile(Exception):
    """Nothing can be made of the file as a whole."""


class Contents(NamedTuple):
    """Stops and problems in the order of the file, and the columns of which nothing is taken."""

    stops: list[StopLine]
    problems: list[LineProblem]
    unknown_columns: list[str]


def read(content: bytes) -> Contents:
    """Each line on its own; raises UnreadableFile."""
    stops, problems = list[StopLine](), list[LineProblem]()
    reader = _reader(content)
    for number, values in _records(reader):
        if len(stops) + len(problems) >= MOST_LINES:
            raise UnreadableFile(f"At most {MOST_LINES:,} stops in one file.")
        found = _stop(number, values)
        (stops if isinstance(found, StopLine) else problems).append(found)  # type: ignore[arg-type]
    unknown = [name[:60] for name in reader.fieldnames or () if name and name not in COLUMNS]
    return Contents(stops, problems + _repeats(stops), unknown[:MOST_COLUMNS])


def plate_of(text: str) -> str:
    return "".join(text.split()).upper()


def _reader(content: bytes) -> "csv.DictReader[str]":
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile("The file is not UTF-8; save it as “CSV UTF-8”.") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    return csv.DictReader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter, restkey="")


def _records(reader: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str]]]:
    try:
        _name_columns(reader)
        yield from ((reader.line_num, _texts(values)) for values in reader)
    except csv.Error as error:
        raise UnreadableFile(f"Line {reader.line_num}: {error}.") from error


def _name_columns(reader: "csv.DictReader[str]") -> None:
    names = [name.strip().lower().replace(" ", "_") for name in reader.fieldnames or ()]
    if missing := [name for name in NEEDED if name not in names]:
        raise UnreadableFile(f"The first line must name the columns; missing: {', '.join(missing)}.")
    if twice := sorted({name for name in names if name in COLUMNS and names.count(name) > 1}):
        raise UnreadableFile(f"The first line names a column twice: {', '.join(twice)}.")
    reader.fieldnames = names


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(values.get(name) or "").strip() for name in COLUMNS}


def _stop(line: int, values: dict[str, str]) -> StopLine | LineProblem:
    read_values: dict[str, Any] = {}
    for column, reader in _READERS.items():
        try:
            read_values[column] = reader(values[column])
        except ValueError as error:
            return LineProblem(line, column, "invalid", str(error))
    stop = StopLine(line, plate_of(read_values.pop("vehicle")), **read_values)
    if problem := _place_problem(stop):
        return LineProblem(line, "latitude", problem.code, problem.detail)
    if stop.earliest_at and stop.due_at and stop.due_at <= stop.earliest_at:
        return LineProblem(line, "due_at", "invalid", "`due_at` must lie after `earliest_at`.")
    return stop


def _text(longest: int) -> Callable[[str], str]:
    def read_text(text: str) -> str:
        if not 0 < len(text) <= longest:
            raise ValueError(f"1 to {longest} characters are needed.")
        return text

    return read_text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"“{text[:40]}” is no number.") from error


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"“{text[:40]}” is no time; write 2026-11-22 14:30 or 2026-11-22T14:30+05:30.") from error
    if at.year not in YEARS:
        raise ValueError(f"Nobody stops in the year {at.year}; leave it empty when any time will do.")
    return at if at.tzinfo else at.replace(tzinfo=INDIA)


def _place_problem(stop: StopLine) -> Problem | None:
    return place_problem(Fix("", 0, stop.latitude, stop.longitude))


def _repeats(stops: list[StopLine]) -> list[LineProblem]:
    first: dict[str, int] = {}
    return [
        LineProblem(stop.line, "external_id", "repeated", f"Line {before} has this id already.")
        for stop in stops
        if (before := first.setdefault(stop.external_id, stop.line)) != stop.line
    ]


_READERS: dict[str, Callable[[str], Any]] = {
    "vehicle": _text(40), "external_id": _text(64), "name": _text(120), "latitude": _number, "longitude": _number,
    "earliest_at": _instant, "due_at": _instant,
}  # fmt: skip
