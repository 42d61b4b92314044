"""A table as a page, readable without a script, with what can be done with the rows that are chosen."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext

from dispatch.saved import reads as saved
from dispatch.tables import bulk, files, kinds, paging
from dispatch.tables import deeds as offered
from dispatch.tables.bulk import Deed, Outcome, Wish
from dispatch.tables.forms import Filter
from dispatch.tables.kinds import Table
from dispatch.views import needs
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of

PAGE_ROWS = 50
MOST_COUNTED = 10_000
UNDO, REFUSED = "bulk_undo", "bulk_refused"


def page_of(table: Table) -> Callable[..., HttpResponse]:
    @needs(table.scope)
    def page(request: FleetRequest) -> HttpResponse:
        if request.method == "POST":
            return _do(request, table)
        sorts = [(name, label) for name, (label, _order) in table.sorts.items()]
        form = table.form(request.GET, sorts, table.hint)
        if not form.is_valid():
            return _refused(request, table, form)
        order = table.sorts[form.cleaned_data["sort"] or next(iter(table.sorts))][1]
        rows = table.rows(organisation_of(request), form.cleaned_data, timezone.now())
        if request.GET.get("export") == "csv":
            return files.csv_file(request, table, rows, order)
        if request.GET.get("export") == "xlsx":
            return _sheet(request, table, form, rows, order)
        context = {**_context(request, table, form), **_page(request, table, rows, order)}
        return render(request, "dispatch/tables/table.html", context)

    return page


def _refused(request: FleetRequest, table: Table, form: Filter) -> HttpResponse:
    return render(request, "dispatch/tables/table.html", _context(request, table, form), status=400)


def _sheet(
    request: FleetRequest, table: Table, form: Filter, rows: QuerySet[Any], order: tuple[str, ...]
) -> HttpResponse:
    if files.is_too_long(rows):
        form.add_error(None, files.TOO_LONG)
        return _refused(request, table, form)
    return files.sheet_file(table, rows, order)


def _do(request: FleetRequest, table: Table) -> HttpResponse:
    """A deed for the chosen rows, and back to the same page."""
    wanted, is_undo = request.POST.get("do"), "undo" in request.POST
    held = request.session.pop(UNDO, None) if is_undo else None
    name = held["deed"] if held and _is_of(held, request, table) else None if is_undo else wanted
    deed = next((one for one in _deeds(request, table) if one.name == name), None)
    if deed is None and is_undo:
        messages.error(request, gettext("It is too late to take that back."))
    elif deed is None:
        return render(request, "no_access.html", status=403)
    elif held:
        _tell(request, table, bulk.undo(offered.KINDS[table.name], deed, held["rows"], _wish(request, "")))
    else:
        _do_chosen(request, table, deed)
    return redirect(request.get_full_path())


def _do_chosen(request: FleetRequest, table: Table, deed: Deed) -> None:
    wish = _wish(request, request.POST.get(f"for-{deed.name}", "").strip())
    if "\0" in wish.value:
        raise BadRequest("a character that no text has")
    chosen = request.POST.getlist("row")
    if not chosen:
        messages.error(request, gettext("Choose rows first."))
    elif deed.ask and not deed.ask.is_answered(wish.organisation, wish.value):
        messages.error(request, gettext("Say first: %(what)s.") % {"what": deed.ask.label})
    else:
        outcome = bulk.do(offered.KINDS[table.name], deed, chosen, wish)
        _tell(request, table, outcome)
        if deed.undo and outcome.done:
            until = (wish.now + bulk.UNDO_FOR).isoformat()
            request.session[UNDO] = {"table": table.name, "fleet": wish.organisation.pk, "deed": deed.name,
                                     "rows": outcome.done, "until": until}  # fmt: skip


def _wish(request: FleetRequest, value: str) -> Wish:
    return Wish(organisation_of(request), author_of(request), timezone.now(), value)


def _tell(request: FleetRequest, table: Table, outcome: Outcome) -> None:
    messages.success(request, outcome.told())
    request.session[REFUSED] = {"table": table.name, "rows": outcome.refused} if outcome.refused else None


def _is_of(held: dict[str, Any], request: FleetRequest, table: Table) -> bool:
    """For this page, in this fleet, and not too late."""
    until = parse_datetime(held["until"])
    is_here = held["table"] == table.name and held["fleet"] == organisation_of(request).pk
    return is_here and until is not None and timezone.now() <= until


def _afterwards(request: FleetRequest, table: Table) -> dict[str, Any]:
    """What a deed left to be told once, and whether it can be taken back."""
    held: dict[str, Any] | None = request.session.get(UNDO)
    refused: dict[str, Any] | None = request.session.get(REFUSED)
    is_here = refused is not None and refused["table"] == table.name
    return {
        "can_undo": held is not None and _is_of(held, request, table),
        "refused": request.session.pop(REFUSED)["rows"] if is_here else [],
    }


def _deeds(request: FleetRequest, table: Table) -> Sequence[Deed]:
    return [deed for deed in offered.KINDS[table.name].deeds if deed.is_offered_to(request)]


def _asked(request: FleetRequest, table: Table) -> list[tuple[Deed, list[bulk.Choice]]]:
    """Each deed with what can be answered; one that asks for a choice of nothing is not offered."""
    fleet, found = organisation_of(request), list[tuple[Deed, list[bulk.Choice]]]()
    for deed in _deeds(request, table):
        choose = deed.ask.choices if deed.ask else None
        choices = choose(fleet) if choose else []
        if choices or not choose:
            found.append((deed, choices))
    return found


def _page(request: HttpRequest, table: Table, rows: QuerySet[Any], order: tuple[str, ...]) -> dict[str, Any]:
    """One row more than is shown tells whether the pages go on in that direction."""
    begin = paging.values_in(request.GET.get("after", ""), order)
    earlier = _earlier(request, rows, order) if begin is None else []
    if len(earlier) > PAGE_ROWS:
        shown, is_first, has_more = earlier[-PAGE_ROWS:], False, True
    else:  # on the way back less than a page is left: the first one
        behind = rows if begin is None else paging.after(rows, order, begin)
        found = list(behind.order_by(*order)[: PAGE_ROWS + 1])
        shown, is_first, has_more = found[:PAGE_ROWS], begin is None, len(found) > PAGE_ROWS
    total = len(shown) if is_first and not has_more else rows.order_by()[: MOST_COUNTED + 1].count()
    return {
        "rows": table.shape(shown),
        "counted": min(total, MOST_COUNTED),
        "is_more_than_counted": total > MOST_COUNTED,
        "next": _address(request, after=paging.cursor_of(shown[-1], order)) if has_more else "",
        "previous": _address(request, before=paging.cursor_of(shown[0], order)) if shown and not is_first else "",
        "first": "" if is_first else _address(request),
    }


def _earlier(request: HttpRequest, rows: QuerySet[Any], order: tuple[str, ...]) -> list[Any]:
    """The rows ahead of the one that the address names, in their order; one more than a page."""
    end = paging.values_in(request.GET.get("before", ""), order)
    return [] if end is None else list(paging.before(rows, order, end)[: PAGE_ROWS + 1])[::-1]


def _context(request: FleetRequest, table: Table, form: Filter) -> dict[str, Any]:
    sort = form.cleaned_data.get("sort") or next(iter(table.sorts))
    heads = [{"head": head, "is_sorted": head.sort == sort, "is_falling": head.sort and _falls(table, head.sort),
              "address": _address(request, sort=head.sort) if head.sort else ""} for head in table.heads]  # fmt: skip
    is_filtered = any(request.GET.get(name) for name in form.fields if name != "sort")
    return {
        "table": table, "form": form, "heads": heads, "is_filtered": is_filtered, "rows": [],
        "cells": f"dispatch/tables/_{table.name}.html", "deeds": _asked(request, table), **_afterwards(request, table),
        "kept": saved.of_page(request, organisation_of(request), table.name), "page": table.name,
        "query": _address(request).removeprefix("?"),
        "exports": [("CSV", _address(request, export="csv")), ("XLSX", _address(request, export="xlsx"))],
    }  # fmt: skip


def _falls(table: Table, sort: str) -> bool:
    return table.sorts[sort][1][0].startswith("-")


def _address(request: HttpRequest, **changed: str) -> str:
    """This page with the same filter, from its beginning."""
    asked = request.GET.copy()
    for name in ("after", "before", "export"):
        asked.pop(name, None)
    for name, value in changed.items():
        asked[name] = value
    for name in [name for name, value in asked.items() if not value]:
        del asked[name]
    return f"?{asked.urlencode()}"


stations, fleet, sessions = page_of(kinds.STATIONS), page_of(kinds.FLEET), page_of(kinds.SESSIONS)
alerts, reservations = page_of(kinds.ALERTS), page_of(kinds.RESERVATIONS)
