"""The pages of depots: how the next or the last night goes, as a table and drawn along the hours."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from dispatch.depot import nights
from dispatch.depot.clock import SLOT
from dispatch.depot.models import Depot, NightPlan
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from stations.models import EVSE

WIDTH, ROW, LABEL, MARGIN = 960, 26, 110, 14
"""Of the drawing, in its own units; a row per vehicle, its plate before it, and room for the last hour's name."""


class Bar(NamedTuple):
    """`x` and `width` in units of the drawing. `kind`: stay or charge."""

    x: float
    width: float
    kind: str
    title: str


@needs(Scope.DISPATCH_READ)
def depot_list(request: FleetRequest) -> HttpResponse:
    depots = Depot.objects.for_organisation(organisation_of(request)).filter(is_active=True).select_related("location")
    context = {"rows": [(depot, nights.latest(depot)) for depot in depots]}
    return render(request, "dispatch/depots.html", context)


@needs(Scope.DISPATCH_READ)
def depot_night(request: FleetRequest, public_id: str) -> HttpResponse:
    own = Depot.objects.for_organisation(organisation_of(request)).select_related("location")
    depot = get_object_or_404(own, location__public_id=public_id)
    plan = nights.latest(depot)
    with timezone.override(depot.location.time_zone):
        context = {"depot": depot, "plan": plan, **(_drawn(plan) if plan else {})}
        return render(request, "dispatch/depot.html", context)


def _drawn(plan: NightPlan) -> dict[str, Any]:
    stays = plan.result["stays"]
    begins, ends = plan.starts_at, plan.starts_at + len(plan.snapshot["limits_w"]) * SLOT
    places = dict(EVSE.objects.filter(pk__in=plan.result["plugs"]).values_list("pk", "charger__ocpp_identity"))
    rows = [
        {
            **row, "place": places.get(row["evse"]), "y": number * ROW + ROW, "bars": list(_bars(row, begins, ends)),
            "arrives_at": datetime.fromisoformat(row["arrives_at"]),
            "leaves_at": datetime.fromisoformat(row["leaves_at"]),
        }
        for number, row in enumerate(stays)
    ]  # fmt: skip
    height = (len(stays) + 1) * ROW
    return {"rows": rows, "hours": list(_hours(begins, ends)), "width": WIDTH + MARGIN, "height": height}


def _x(at: datetime, begins: datetime, ends: datetime) -> float:
    share = (at - begins) / (ends - begins)
    return round(LABEL + min(1.0, max(0.0, share)) * (WIDTH - LABEL), 1)


def _bars(row: dict[str, Any], begins: datetime, ends: datetime) -> Iterator[Bar]:
    """Where it stands from arrival to departure, and when it charges."""
    yield _bar(row["arrives_at"], row["leaves_at"], begins, ends, "stay", "")
    for since, until, watts in row["charges"]:
        yield _bar(since, until, begins, ends, "charge", _told(since, until, watts))


def _told(since: str, until: str, watts: int) -> str:
    begins, ends = (timezone.localtime(datetime.fromisoformat(at)) for at in (since, until))
    return f"{begins:%H:%M}–{ends:%H:%M} {watts / 1000:.1f} kW"


def _bar(since: str, until: str, begins: datetime, ends: datetime, kind: str, title: str) -> Bar:
    left, right = (_x(datetime.fromisoformat(at), begins, ends) for at in (since, until))
    return Bar(left, round(max(0.0, right - left), 1), kind, title)


def _hours(begins: datetime, ends: datetime) -> Iterator[tuple[float, datetime]]:
    """Full hours, in the place's own time."""
    local = timezone.localtime(begins)
    at = local.replace(minute=0, second=0, microsecond=0)
    while at <= ends:
        if at >= begins:
            yield _x(at, begins, ends), at
        at += timedelta(hours=1)
