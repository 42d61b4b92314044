"""What charging cost by vehicle, driver, site and cost centre, per kWh and per km; on the page and as a table."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from billing.dispute import rupees
from billing.expenses.report import By, Expense, expenses
from billing.invoicing.exports.tables import csv_of
from billing.invoicing.files import CSV, File, download
from billing.models import Wallet
from billing.pages import access
from billing.pages.access import wallet_page
from billing.pages.statements import stretch_of
from billing.services.statements import Stretch
from fleetcharge.accounts.tenancy import FleetRequest

SHOWN = 200
WAYS = (
    (By.VEHICLE, _("Vehicle")), (By.DRIVER, _("Driver")), (By.SITE, _("Site")), (By.COST_CENTRE, _("Cost centre")),
)  # fmt: skip
COLUMNS = ("Name", "Sessions", "kWh", "Charging, Rs", "Electricity, Rs", "Total, Rs", "Rs per kWh", "km", "Rs per km")


@wallet_page
def expense_list(request: FleetRequest) -> HttpResponseBase:
    """By one dimension between two days; `?as=csv` is the whole of it."""
    wallet = access.wallet_of(request)
    if wallet is None:
        return render(request, "wallet/none.html", {"may_act": access.may_act(request)})
    asked = request.GET.get("by", "")
    by = next((way for way, _label in WAYS if way == asked), By.VEHICLE)
    stretch, is_odd = stretch_of(wallet, request.GET.get("from", ""), request.GET.get("to", ""))
    rows = expenses(organisation_id=wallet.organisation_id, by=by, since=stretch.since, until=stretch.until)
    if request.GET.get("as") == "csv":
        return download(_file(wallet, by, stretch, rows))
    days = {"from": stretch.first.isoformat(), "to": stretch.last.isoformat()}
    context: dict[str, Any] = {
        "at": "expenses", "by": by, "ways": WAYS, "rows": rows[:SHOWN], "count": len(rows), "stretch": stretch,
        "total_paise": sum(row.total_paise for row in rows), "days": urlencode(days), "is_odd": is_odd,
        "sessions": sum(row.sessions for row in rows), "energy_wh": sum(row.energy_wh for row in rows),
        "has_km": by in {By.VEHICLE, By.COST_CENTRE}, "may_act": access.may_act(request),
    }  # fmt: skip
    return _page(request, context)


def _page(request: FleetRequest, context: dict[str, Any]) -> HttpResponse:
    return render(request, "wallet/expenses.html", context)


def _file(wallet: Wallet, by: By, stretch: Stretch, rows: list[Expense]) -> File:
    name = f"expenses-{wallet.organisation.slug}-{by}-{stretch.first}-{stretch.last}.csv"
    return File(name, CSV, (piece.encode() for piece in csv_of(_table(rows))))


def _table(rows: list[Expense]) -> Iterator[tuple[Any, ...]]:
    yield COLUMNS
    for row in rows:
        yield (
            row.name or "-", row.sessions, f"{row.energy_wh / 1000:.3f}", rupees(row.charging_paise),
            rupees(row.electricity_paise), rupees(row.total_paise), _or_nothing(row.paise_per_kwh),
            "" if row.distance_m is None else f"{row.distance_m / 1000:.1f}", _or_nothing(row.paise_per_km),
        )  # fmt: skip


def _or_nothing(paise: int | None) -> str:
    return "" if paise is None else rupees(paise)
