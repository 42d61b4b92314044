"""Rows as CSV text, in pieces, safe for spreadsheets. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from billing.dispute import FORMULA

LINES = 200


def csv_of(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """To be streamed, some lines at a time; a text never begins like a formula, a figure may be below zero."""
    out = io.StringIO()
    table = csv.writer(out)
    for number, row in enumerate(rows, start=1):
        table.writerow([cell(value) for value in row])
        if number % LINES == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    if text := out.getvalue():
        yield text


def cell(value: Any) -> Any:
    text = "" if value is None else value if isinstance(value, str) else str(value)
    if not text.startswith(FORMULA) or text.lstrip("-").replace(".", "", 1).isdigit():
        return text
    return f"'{text}"
