"""Rows as CSV text, one line at a time, safe for spreadsheets. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from billing.dispute import FORMULA


def csv_of(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """To be streamed; a text never begins like a formula, a figure may be below zero."""
    out = io.StringIO()
    table = csv.writer(out)
    for row in rows:
        table.writerow([cell(value) for value in row])
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def cell(value: Any) -> Any:
    text = "" if value is None else str(value)
    is_figure = text.lstrip("-").replace(".", "", 1).isdigit()
    return f"'{text}" if text.startswith(FORMULA) and not is_figure else text
