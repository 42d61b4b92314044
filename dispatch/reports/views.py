"""The pages of the reports, and each of them as a file."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.dispute import rupees
from billing.invoicing.exports.tables import csv_of
from billing.services.tariffs import zone_of
from dispatch.reports import chargers, energy
from dispatch.reports.chargers import ChargerLine
from dispatch.reports.energy import EnergyLine
from dispatch.reports.forms import ReportFilter
from dispatch.reports.periods import Period
from dispatch.reports.uptime import REQUIRED_PERCENT
from dispatch.tables import files
from dispatch.tables.forms import Choices
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

SHOWN = 200
FILES = ("csv", "xlsx")
TEXTS = ("name", "station")
ENERGY_WAYS: Choices = (
    (energy.By.STATION, _("Station")), (energy.By.VEHICLE, _("Vehicle")), (energy.By.MONTH, _("Month")),
)  # fmt: skip
CHARGER_WAYS: Choices = (
    (chargers.By.STATION, _("Station")), (chargers.By.PORT, _("Port")), (chargers.By.MONTH, _("Month")),
)  # fmt: skip
ENERGY_FIELDS = (
    "name", "sessions", "not_priced_yet", "energy_kwh", "connected_hours", "cost_rupees", "rupees_per_kwh",
    "distance_km", "rupees_per_km", "co2_kg",
)  # fmt: skip
CHARGER_FIELDS = (
    "name", "station", "ports", "sessions", "measured_minutes", "busy_minutes", "use_percent", "outage_minutes",
    "excluded_minutes", "uptime_percent", "ports_below_97_percent",
)  # fmt: skip


@needs(Scope.BILLING_READ)
def energy_report(request: FleetRequest) -> HttpResponse:
    """What was charged, what it cost and emitted; `?export=csv` (or xlsx) is the whole of it."""
    form = _form(request, ENERGY_WAYS)
    if not form.is_valid():
        return _page(request, "energy", form, {}, status=400)
    by, period = energy.By(form.cleaned_data["by"] or energy.By.STATION), form.period()
    found = energy.lines(organisation_of(request), period, by)
    if (kind := request.GET.get("export")) in FILES:
        return _file(kind, "energy", by, period, ENERGY_FIELDS, map(_energy_record, found))
    return _page(request, "energy", form, {
        "by": by, "period": period, "rows": _named(found, by, SHOWN), "count": len(found),
        "total": energy.total(found), "most_wh": max((line.energy_wh for line in found), default=0),
        "factors": _factors(period),
    })  # fmt: skip


@needs(Scope.DISPATCH_READ)
def charger_report(request: FleetRequest) -> HttpResponse:
    """How the fleet's own ports were used and how long they were down."""
    form = _form(request, CHARGER_WAYS)
    if not form.is_valid():
        return _page(request, "chargers", form, {}, status=400)
    by, period = chargers.By(form.cleaned_data["by"] or chargers.By.STATION), form.period()
    found = chargers.lines(organisation_of(request), period, by, now=timezone.now())
    if (kind := request.GET.get("export")) in FILES:
        return _file(kind, "chargers", by, period, CHARGER_FIELDS, map(_charger_record, found))
    return _page(request, "chargers", form, {
        "by": by, "period": period, "rows": _named(found, by, SHOWN), "count": len(found),
        "total": chargers.total(found), "required": REQUIRED_PERCENT,
    })  # fmt: skip


def _form(request: FleetRequest, ways: Choices) -> ReportFilter:
    zone = zone_of(organisation_of(request).time_zone)
    return ReportFilter(request.GET.dict(), ways, timezone.now().astimezone(zone).date(), zone)


def _page(
    request: HttpRequest, at: str, form: ReportFilter, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    told = {"at": at, "form": form, "exports": [(kind.upper(), _address(request, kind)) for kind in FILES], **context}
    return render(request, f"dispatch/reports/{at}.html", told, status=status)


def _address(request: HttpRequest, kind: str) -> str:
    asked = request.GET.copy()
    asked["export"] = kind
    return f"?{asked.urlencode()}"


def _named(found: Sequence[Any], by: str, most: int) -> list[tuple[date | None, Any]]:
    """Each line with the first day of its month, where it is about one."""
    shown = found[:most]
    if by != "month":
        return [(None, line) for line in shown]
    months = [line.key if isinstance(line, EnergyLine) else line.name for line in shown]
    return [(date.fromisoformat(f"{month}-01"), line) for month, line in zip(months, shown, strict=True)]


def _factors(period: Period) -> list[tuple[date, int, str]]:
    """Those in force on a day of the period; the first stands for all before it."""
    known = settings.GRID_FACTORS
    following = [day for day, _grams, _source in known[1:]] + [date.max]
    ranges = zip(known, following, strict=True)
    used = [factor for factor, ends in ranges if factor[0] <= period.last and ends > period.first]
    return used or known[:1]


def _energy_record(line: EnergyLine) -> tuple[Any, ...]:
    return (
        line.name or line.key or "", line.sessions, line.unpriced, f"{line.energy_wh / 1000:.3f}",
        f"{line.seconds / 3600:.2f}", rupees(line.cost_paise), _rupees(line.paise_per_kwh),
        "" if line.distance_m is None else f"{line.distance_m / 1000:.1f}", _rupees(line.paise_per_km),
        f"{line.emitted_g / 1000:.3f}",
    )  # fmt: skip


def _rupees(paise: int | None) -> str:
    return "" if paise is None else rupees(paise)


def _charger_record(line: ChargerLine) -> tuple[Any, ...]:
    time = line.time
    return (
        line.name, line.note, line.ports, line.sessions, *_minutes(time.measured_s, time.busy_s),
        _percent(time.use_percent), *_minutes(time.outage_s, time.excluded_s), _percent(time.uptime_percent),
        line.ports_below,
    )  # fmt: skip


def _minutes(*seconds: int) -> Iterator[str]:
    return (f"{value / 60:.1f}" for value in seconds)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _file(
    kind: str, name: str, by: str, period: Period, fields: Sequence[str], records: Iterable[Sequence[Any]]
) -> HttpResponse:
    """UTF-8 with the mark by which a spreadsheet knows it, or a sheet of numbers that add up; the rows are read."""
    file = f"{name}-by-{by}-{period.first}-{period.last}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Cache-Control": "private, no-store"}
    if kind == "xlsx":
        body = files.sheet_of(fields, ([*map(_cell, fields, record)] for record in records))
        return HttpResponse(body, content_type=files.XLSX, headers=headers)
    text = "".join(csv_of([fields, *records]))
    return HttpResponse("\ufeff" + text, content_type="text/csv; charset=utf-8", headers=headers)


def _cell(field: str, value: Any) -> Any:
    return float(value) if isinstance(value, str) and value and field not in TEXTS else value
