"""The pages of depots: which plug charges whom and when, under the limit of the site; planned again by a button."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dispatch.core.depot import NoSchedule
from dispatch.depot import drawing, nights
from dispatch.depot.conflicts import conflicts_of, name_of
from dispatch.depot.models import Depot, NightPlan
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from stations.models import EVSE

ASKED_FOR = "asked for"


@needs(Scope.DISPATCH_READ)
def depot_list(request: FleetRequest) -> HttpResponse:
    depots = Depot.objects.for_organisation(organisation_of(request)).filter(is_active=True).select_related("location")
    context = {"rows": [(depot, nights.latest(depot)) for depot in depots]}
    return render(request, "dispatch/depots.html", context)


@needs(Scope.DISPATCH_READ)
def depot_night(request: FleetRequest, public_id: str) -> HttpResponse:
    depot = _own(request, public_id)
    plan = nights.latest(depot)
    with timezone.override(depot.location.time_zone):
        context = {
            "depot": depot, "plan": plan, "can_plan": Scope.DISPATCH_WRITE in request.scopes,
            "is_night": depot.is_active and nights.span_of(depot, timezone.now()) is not None,
            **(_night(depot, plan) if plan else {}),
        }  # fmt: skip
        return render(request, "dispatch/depot.html", context)


@needs(Scope.DISPATCH_WRITE)
@require_POST
def plan_again(request: FleetRequest, public_id: str) -> HttpResponse:
    """The running night, now, as it looks now."""
    depot = _own(request, public_id)
    back = HttpResponseRedirect(reverse("depot-night", args=[public_id]))
    try:
        plan = nights.plan(location_id=depot.pk, now=timezone.now(), reason=ASKED_FOR)
    except NoSchedule:
        messages.error(request, _("No schedule was found in time: the last plan stands. Press again in a while."))
        return back
    if plan is None:
        messages.error(request, _("It is day at this depot: its night is planned in the evening."))
    else:
        messages.success(request, _("Planned again: version %(version)s.") % {"version": plan.version})
    return back


def _own(request: FleetRequest, public_id: str) -> Depot:
    own = Depot.objects.for_organisation(organisation_of(request)).select_related("location")
    return get_object_or_404(own, location__public_id=public_id)


def _night(depot: Depot, plan: NightPlan) -> dict[str, Any]:
    evses = _evses(depot)
    places = {evse.pk: name_of(evse) for evse in evses}
    planned = {pk: name for pk, name in places.items() if pk in plan.result["plugs"]}
    limits, stays = plan.snapshot["limits_w"], plan.result["stays"]
    return {
        "drawing": drawing.draw(plan, planned, now=timezone.now()),
        "conflicts": conflicts_of(depot, plan, evses), "rows": [_row(row, plan, places) for row in stays],
        "limit_w": min(limits) if max(limits) < nights.UNLIMITED_W else None,
        "planned_wh": sum(row["planned_wh"] for row in stays),
    }  # fmt: skip


def _evses(depot: Depot) -> list[EVSE]:
    own = EVSE.objects.filter(location=depot.pk, charger__organisation=depot.organisation_id, is_removed=False)
    return list(own.select_related("charger").prefetch_related("connectors").order_by("charger__ocpp_identity", "pk"))


def _row(row: dict[str, Any], plan: NightPlan, places: dict[int, str]) -> dict[str, Any]:
    return {
        **row, "place": places.get(row["evse"], ""), "cost_paise": drawing.cost_paise(row, plan),
        "arrives_at": drawing.moment(row["arrives_at"]), "leaves_at": drawing.moment(row["leaves_at"]),
        "told": [drawing.told(charge) for charge in row["charges"]],
    }  # fmt: skip
