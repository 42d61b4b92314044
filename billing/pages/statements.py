"""The wallet's statement: between two days, with the balance after each line; on the page and as files."""

import calendar
from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode

from billing import statement_files
from billing.invoicing.files import download
from billing.models import Wallet
from billing.pages import access, wording
from billing.pages.access import wallet_page
from billing.services import statements
from billing.services.statements import Stretch
from billing.services.tariffs import zone_of
from fleetcharge.accounts.tenancy import FleetRequest

PAGE_ROWS = 50
LONGEST = timedelta(days=3_660)


@wallet_page
def statement(request: FleetRequest) -> HttpResponse:
    wallet = access.wallet_of(request)
    if wallet is None:
        return render(request, "wallet/none.html", {"may_act": access.may_act(request)})
    stretch, is_odd = stretch_of(wallet, request.GET.get("from", ""), request.GET.get("to", ""))
    sums = statements.sums(wallet.account_id, stretch)
    number = _page_number(request)
    lines, total = statements.page(
        wallet.account_id, stretch, opening_paise=sums.opening_paise, limit=PAGE_ROWS, offset=(number - 1) * PAGE_ROWS
    )
    days = {"from": stretch.first.isoformat(), "to": stretch.last.isoformat()}
    context = {
        "at": "statement", "wallet": wallet, "stretch": stretch, "sums": sums, "total": total, "number": number,
        "lines": [(wording.of_kind(line.kind), line) for line in lines], "query": urlencode(days), "is_odd": is_odd,
        "has_more": number * PAGE_ROWS < total, "months": _months(stretch), "forms": ("pdf", "xlsx", "csv"),
        "pdf_rows": statement_files.PDF_ROWS, "may_act": access.may_act(request),
    }  # fmt: skip
    return render(request, "wallet/statement.html", context)


@wallet_page
def statement_file(request: FleetRequest) -> HttpResponseBase:
    wallet = access.wallet_of(request)
    if wallet is None:
        return render(request, "wallet/none.html", {"may_act": access.may_act(request)}, status=404)
    stretch, _is_odd = stretch_of(wallet, request.GET.get("from", ""), request.GET.get("to", ""))
    form = request.GET.get("as", "csv")
    make = statement_files.FORMS.get(form, statement_files.FORMS["csv"])
    return download(make(wallet, stretch))


def stretch_of(wallet: Wallet, first: str, last: str) -> tuple[Stretch, bool]:
    """Both days as asked for, else this month; True when what was asked for makes no sense."""
    zone = zone_of(wallet.organisation.time_zone)
    today = timezone.now().astimezone(zone).date()
    since, until = _day(first), _day(last)
    is_odd = bool(first and since is None) or bool(last and until is None)
    until = until or today
    since = since or min(until, today).replace(day=1)
    if since > until or until - since > LONGEST:
        return Stretch(today.replace(day=1), today, zone), True
    return Stretch(since, until, zone), is_odd


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found and 2000 <= found.year <= 2200 else None


def _page_number(request: FleetRequest) -> int:
    text = request.GET.get("page", "1")
    return max(1, min(int(text), 100_000)) if text.isdecimal() and len(text) < 7 else 1


def _months(stretch: Stretch) -> list[dict[str, Any]]:
    """The last three months and the financial year, to tap."""
    today = timezone.now().astimezone(stretch.zone).date()
    found = []
    start = today.replace(day=1)
    for _number in range(3):
        end = start.replace(day=calendar.monthrange(start.year, start.month)[1])
        found.append({"name": start, "from": start, "to": min(end, today), "is_here": stretch.first == start})
        start = (start - timedelta(days=1)).replace(day=1)
    return found
