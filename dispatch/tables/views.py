"""A table as a page, readable without a script, and as a file that is written while it is read."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import tzinfo
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.invoicing.exports.tables import csv_of
from dispatch.tables import kinds, paging
from dispatch.tables.forms import Filter
from dispatch.tables.kinds import Table
from dispatch.views import needs
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

PAGE_ROWS, PIECE_ROWS = 50, 1000
MOST_COUNTED = 10_000


def page_of(table: Table) -> Callable[..., HttpResponse]:
    @needs(table.scope)
    def page(request: FleetRequest) -> HttpResponse:
        sorts = [(name, label) for name, (label, _order) in table.sorts.items()]
        form = table.form(request.GET, sorts, table.hint)
        if not form.is_valid():
            return render(request, "dispatch/tables/table.html", _context(request, table, form), status=400)
        order = table.sorts[form.cleaned_data["sort"] or next(iter(table.sorts))][1]
        rows = table.rows(organisation_of(request), form.cleaned_data, timezone.now())
        if request.GET.get("export") == "csv":
            return _file(request, table, rows, order)
        context = {**_context(request, table, form), **_page(request, table, rows, order)}
        return render(request, "dispatch/tables/table.html", context)

    return page


def _page(request: HttpRequest, table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> dict[str, Any]:
    """One row more than is shown tells whether there is a next page."""
    begin = paging.values_in(request.GET.get("after", ""), order)
    behind = rows if begin is None else paging.after(rows, order, begin)
    found = list(behind.order_by(*order)[: PAGE_ROWS + 1])
    shown, has_more = found[:PAGE_ROWS], len(found) > PAGE_ROWS
    total = len(found) if begin is None and not has_more else rows.order_by()[: MOST_COUNTED + 1].count()
    return {
        "rows": table.shape(shown),
        "counted": min(total, MOST_COUNTED),
        "is_more_than_counted": total > MOST_COUNTED,
        "next": _address(request, after=paging.cursor_of(shown[-1], order)) if has_more else "",
        "first": _address(request) if begin is not None else "",
    }


def _context(request: HttpRequest, table: Table, form: Filter) -> dict[str, Any]:
    sort = form.cleaned_data.get("sort") or next(iter(table.sorts))
    heads = [{"head": head, "is_sorted": head.sort == sort, "is_falling": head.sort and _falls(table, head.sort),
              "address": _address(request, sort=head.sort) if head.sort else ""} for head in table.heads]  # fmt: skip
    is_filtered = any(request.GET.get(name) for name in form.fields if name != "sort")
    return {
        "table": table, "form": form, "heads": heads, "is_filtered": is_filtered, "rows": [],
        "cells": f"dispatch/tables/_{table.name}.html", "export": _address(request, export="csv"),
    }  # fmt: skip


def _falls(table: Table, sort: str) -> bool:
    return table.sorts[sort][1][0].startswith("-")


def _address(request: HttpRequest, **changed: str) -> str:
    """This page with the same filter, from its beginning."""
    asked = request.GET.copy()
    for name in ("after", "export"):
        asked.pop(name, None)
    for name, value in changed.items():
        asked[name] = value
    for name in [name for name, value in asked.items() if not value]:
        del asked[name]
    return f"?{asked.urlencode()}"


def _file(request: HttpRequest, table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> HttpResponse:
    pieces = _pieces(table, rows, order, timezone.get_current_timezone())
    body = _in_turn(pieces) if isinstance(request, ASGIRequest) else pieces
    name = f"{table.name.removesuffix('-list')}-{timezone.localdate():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return StreamingHttpResponse(body, content_type="text/csv; charset=utf-8", headers=headers)  # type: ignore[return-value]


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


stations, fleet, sessions = page_of(kinds.STATIONS), page_of(kinds.FLEET), page_of(kinds.SESSIONS)
alerts, reservations = page_of(kinds.ALERTS), page_of(kinds.RESERVATIONS)
