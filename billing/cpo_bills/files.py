"""A bill's file as it was uploaded, and the files that are made of it: written while they are read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.db import connection

from billing import dispute
from billing.cpo_bills import services
from billing.models import BillUpload, NetworkBill, NetworkBillRow

PIECE = 1_000_000
HEADER = (
    "line", "reference", "outcome", "billed, Rs", "record, Rs", "asked too much, Rs", "billed, Wh", "record, Wh",
    "meter, Wh",
)  # fmt: skip
Row = tuple[Any, ...]


@contextmanager
def opened(upload_id: int) -> Iterator[BinaryIO]:
    """From the database piece by piece to a temporary file: it is never in memory as a whole."""
    with tempfile.TemporaryFile() as file:
        first = 1
        while piece := _piece(upload_id, first):
            file.write(piece)
            first += len(piece)
        file.seek(0)
        yield file


def sha256_of(upload_id: int) -> str:
    return str(_one("SELECT encode(sha256(content), 'hex') FROM billing_billupload WHERE id = %s", [upload_id]))


def _piece(upload_id: int, first: int) -> bytes:
    query = "SELECT substring(content FROM %s FOR %s) FROM billing_billupload WHERE id = %s"
    return bytes(_one(query, [first, PIECE, upload_id]) or b"")


def _one(query: str, values: list[int]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        row = cursor.fetchone()
    return row[0] if row else None


def report(row: BillUpload) -> Iterator[Row]:
    """Every row of the bill, or the first ones once a trial is forgotten; below them the lines that cannot be used."""
    yield (*HEADER, "why")
    rows = services.shown(services.rows_of(row.bill)) if row.bill else iter(row.report)
    yield from ((*_cells(each), "") for each in rows)
    nothing = ("",) * 6
    yield from ((line, "", "cannot be used", *nothing, why) for line, why in row.problems)
    if more := row.unusable - len(row.problems):
        yield ("", "", "cannot be used", *nothing, f"and {more} more lines")


def dispute_of(bill: NetworkBill) -> Iterator[Row]:
    """What the bill asks wrongly, dearest first, to be sent to the network."""
    asked = dispute.rupees(bill.asked_paise)
    yield from (
        ("bill", bill.number), ("network", bill.source.name), ("from", bill.starts_on), ("to", bill.ends_on),
        ("billed, Rs", dispute.rupees(bill.total_paise)), ("asked too much, Rs", asked), (), HEADER,
    )  # fmt: skip
    yield from map(_cells, services.shown(services.rows_of(bill).filter(services.IS_ASKED)))


def _cells(row: dict[str, Any]) -> Row:
    paise = (dispute.rupees(row[name]) for name in ("total_paise", "record_paise", "difference_paise"))
    energy = ("" if row[name] is None else row[name] for name in ("energy_wh", "record_wh", "meter_wh"))
    return (row["line"] or "", row["reference"], NetworkBillRow.Outcome(row["outcome"]).label, *paise, *energy)
