"""A table as a file: CSV, written while it is read, or a sheet with real numbers and instants."""

import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

import xlsxwriter
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.invoicing.exports.tables import csv_of
from dispatch.tables import paging
from dispatch.tables.kinds import Table

PIECE_ROWS = 1000
MOST_SHEET_ROWS = 50_000
TOO_LONG = _("A sheet holds 50,000 rows at most. Ask for less, or take the CSV file.")
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COLUMN_WIDTH = 20


def csv_file(request: HttpRequest, table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> HttpResponse:
    pieces = _pieces(table, rows, order, timezone.get_current_timezone())
    body = _in_turn(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(body, content_type="text/csv; charset=utf-8", headers=_headers(table, "csv"))  # type: ignore[return-value]


def _headers(table: Table, ending: str) -> dict[str, str]:
    name = f"{table.name.removesuffix('-list')}-{timezone.localdate():%Y-%m-%d}.{ending}"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}


def _pieces(table: Table, rows: QuerySet[Any], order: tuple[str, ...], zone: tzinfo) -> Iterator[bytes]:
    """UTF-8 with the mark by which a spreadsheet knows it. It is read when the request is over: the zone is kept."""
    yield "\ufeff".encode() + "".join(csv_of([table.fields])).encode()
    for piece in paging.in_pieces(rows, order, PIECE_ROWS):
        with timezone.override(zone):
            lines = "".join(csv_of(table.record(row) for row in piece))
        yield lines.encode()


async def _in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read in the request's own thread, which holds its database connection."""
    while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
        yield piece


def is_too_long(rows: QuerySet[Any]) -> bool:
    return rows.order_by()[: MOST_SHEET_ROWS + 1].count() > MOST_SHEET_ROWS


def sheet_file(table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> HttpResponse:
    return HttpResponse(
        sheet_of(table.fields, _records(table, rows, order)), content_type=XLSX, headers=_headers(table, "xlsx")
    )


def sheet_of(fields: Sequence[str], records: Iterable[Sequence[Any]]) -> bytes:
    """Row by row in constant memory; what is text stays text, also where it looks like a formula or an address."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    sheet = book.add_worksheet()
    bold, instant = book.add_format({"bold": True}), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(fields) - 1, COLUMN_WIDTH)
    sheet.write_row(0, 0, fields, bold)
    for number, row in enumerate(records, start=1):
        for column, value in enumerate(row):
            _write(sheet, number, column, value, instant)
    book.close()
    return out.getvalue()


def _records(table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> Iterator[list[Any]]:
    for piece in paging.in_pieces(rows, order, PIECE_ROWS):
        for row in piece:
            yield [_cell(name, value) for name, value in zip(table.fields, table.record(row), strict=True)]


def _cell(name: str, value: Any) -> Any:
    """An instant by the fleet's clock: a sheet knows no time zone."""
    return datetime.fromisoformat(value).replace(tzinfo=None) if value and name.endswith("_at") else value


def _write(sheet: Any, row: int, column: int, value: Any, instant: Any) -> None:
    if isinstance(value, datetime):
        sheet.write_datetime(row, column, value, instant)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value)
    elif value is not None and value != "":
        sheet.write_string(row, column, str(value))
