"""The sessions behind a document, as a table whose hash stands on it. Pure."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from billing.dispute import FORMULA, rupees

COLUMNS = {
    "position": "No.", "started_at": "From", "ended_at": "To", "minutes": "Minutes", "vehicle": "Vehicle",
    "cost_centre": "Cost centre", "site": "Site", "network": "Network", "transaction": "Transaction",
    "kind": "Kind", "kwh": "kWh", "taxable_paise": "Taxable, Rs", "tax_paise": "GST charged, Rs",
    "total_paise": "Charged, Rs", "verdict": "Evidence", "points": "Points", "record": "Record",
}  # fmt: skip
MONEY = frozenset({"taxable_paise", "tax_paise", "total_paise"})
Facts = Mapping[str, Any]


def rows_of(facts: Iterable[Facts]) -> Iterator[list[str]]:
    """The header, then a row per session; the same facts give the same bytes for ever."""
    yield list(COLUMNS.values())
    for position, row in enumerate(facts, start=1):
        yield [_cell(name, {**row, "position": position}) for name in COLUMNS]


def csv_lines(facts: Iterable[Facts]) -> Iterator[str]:
    """To be streamed."""
    out = io.StringIO()
    table = csv.writer(out)
    for row in rows_of(facts):
        table.writerow(row)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def sha256_of(facts: Iterable[Facts]) -> str:
    """Of the CSV file."""
    digest = hashlib.sha256()
    for line in csv_lines(facts):
        digest.update(line.encode())
    return digest.hexdigest()


def _cell(name: str, row: Facts) -> str:
    if name in MONEY:
        return rupees(row[name])
    text = str(row[name])
    return f"'{text}" if text.startswith(FORMULA) else text
