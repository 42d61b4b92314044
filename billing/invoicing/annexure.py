"""The sessions behind a document, as a table whose hash stands on it. Pure."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from billing.dispute import FORMULA, rupees

COLUMNS = {
    "position": "No.", "started_at": "From", "ended_at": "To", "minutes": "Minutes", "vehicle": "Vehicle",
    "cost_centre": "Cost centre", "site": "Site", "network": "Network", "transaction": "Transaction",
    "kind": "Kind", "kwh": "kWh", "taxable_paise": "Taxable, Rs", "tax_paise": "GST charged, Rs",
    "total_paise": "Charged, Rs", "verdict": "Evidence", "points": "Points", "record": "Record",
}  # fmt: skip
NAMES = tuple(COLUMNS)[1:]
MONEY = frozenset({"taxable_paise", "tax_paise", "total_paise"})
Facts = Mapping[str, Any]
LINES = 500


def rows_of(facts: Iterable[Facts]) -> Iterator[list[str]]:
    """The header, then a row per session; the same facts give the same bytes for ever."""
    yield list(COLUMNS.values())
    for position, row in enumerate(facts, start=1):
        yield [str(position), *(rupees(row[name]) if name in MONEY else _text(row[name]) for name in NAMES)]


def csv_lines(facts: Iterable[Facts]) -> Iterator[str]:
    """To be streamed, some lines at a time."""
    out = io.StringIO()
    table = csv.writer(out)
    rows = rows_of(facts)
    while some := list(islice(rows, LINES)):
        table.writerows(some)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def sha256_of(facts: Iterable[Facts]) -> str:
    """Of the CSV file."""
    digest = hashlib.sha256()
    for lines in csv_lines(facts):
        digest.update(lines.encode())
    return digest.hexdigest()


def _text(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
