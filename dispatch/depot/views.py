"""The pages of depots: which plug charges whom and when, under the limit of the site; planned again by a button."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dispatch.depot import drawing, nights, tasks
from dispatch.depot.conflicts import conflicts_of, name_of
from dispatch.depot.models import Depot, NightPlan
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from stations.models import EVSE

LOOK_AGAIN_SECONDS = 2
GIVE_UP_SECONDS = 45
"""Twice what deciding may take, and some: a worker may have to finish something else first."""


@needs(Scope.DISPATCH_READ)
def depot_list(request: FleetRequest) -> HttpResponse:
    depots = Depot.objects.for_organisation(organisation_of(request)).filter(is_active=True).select_related("location")
    context = {"rows": [(depot, nights.latest(depot)) for depot in depots]}
    return render(request, "dispatch/depots.html", context)


@needs(Scope.DISPATCH_READ)
def depot_night(request: FleetRequest, public_id: str) -> HttpResponse:
    """The newest plan; while a newer one is made that was asked for, the page looks again by itself."""
    depot = _own(request, public_id)
    plan = nights.latest(depot)
    asked = _number(request.GET.get("asked", ""))
    waits = bool(asked) and _still_planning(request, plan, asked)
    if asked and not waits:
        return HttpResponseRedirect(reverse("depot-night", args=[public_id]))
    with timezone.override(depot.location.time_zone):
        context = {
            "depot": depot, "plan": plan, "can_plan": Scope.DISPATCH_WRITE in request.scopes, "waits": waits,
            "is_night": depot.is_active and nights.span_of(depot, timezone.now()) is not None,
            **(_night(depot, plan) if plan else {}),
        }  # fmt: skip
        response = render(request, "dispatch/depot.html", context)
    if waits:
        response["Refresh"] = str(LOOK_AGAIN_SECONDS)
    return response


@needs(Scope.DISPATCH_WRITE)
@require_POST
def plan_again(request: FleetRequest, public_id: str) -> HttpResponse:
    """The running night, as it looks now, by a worker: deciding can take twenty seconds."""
    depot = _own(request, public_id)
    address = reverse("depot-night", args=[public_id])
    if not depot.is_active or nights.span_of(depot, timezone.now()) is None:
        messages.error(request, _("It is day at this depot: its night is planned in the evening."))
        return HttpResponseRedirect(address)
    plan = nights.latest(depot)
    asked = {"asked": int(timezone.now().timestamp()), "after": plan.pk if plan else 0}
    tasks.plan_again.delay(depot.pk)
    return HttpResponseRedirect(f"{address}?{urlencode(asked)}")


def _still_planning(request: FleetRequest, plan: NightPlan | None, asked: int) -> bool:
    """Whether what the address asks for is still to come; what has become of it is told once it is known."""
    if plan is not None and plan.pk > _number(request.GET.get("after", "")):
        messages.success(request, _("Planned again: version %(version)s.") % {"version": plan.version})
        return False
    if abs(timezone.now().timestamp() - asked) > GIVE_UP_SECONDS:  # nobody has asked in the future
        messages.error(request, _("No schedule was found in time: the last plan stands. Press again in a while."))
        return False
    return True


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


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
