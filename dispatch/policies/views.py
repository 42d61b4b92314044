"""The page of policies: what plans saved day by day, the rules there are and who follows them, and how they compare."""

from collections import defaultdict
from datetime import timedelta
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.services.tariffs import zone_of
from dispatch.policies import comparison, outcomes
from dispatch.policies.models import DispatchPolicy, PlanOutcome, PolicyAssignment, PolicyExperiment
from dispatch.policies.words import in_words
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from vehicles.models import Vehicle

SHOWN_DAYS = 30
SHOWN_EXPERIMENTS = 5
SHOWN_POLICIES = 60


class Rules(NamedTuple):
    """The fleet's own, or a version of a policy, with the plates of the vehicles that follow it now."""

    policy: DispatchPolicy | Organisation
    version: DispatchPolicy | None
    plates: list[str]
    is_newest: bool = True


@needs(Scope.DISPATCH_READ)
def overview(request: FleetRequest) -> HttpResponse:
    organisation = organisation_of(request)
    today = timezone.now().astimezone(zone_of(organisation.time_zone)).date()
    since = today - timedelta(days=SHOWN_DAYS - 1)
    recent = PlanOutcome.objects.for_organisation(organisation).filter(planned_on__gte=since)
    experiments = PolicyExperiment.objects.for_organisation(organisation)[:SHOWN_EXPERIMENTS]
    context = {
        "days": outcomes.saved_by_day(organisation, since=since, until=today),
        "total": outcomes.totals(recent),
        "rules": _rules(organisation),
        "experiments": [_compared(experiment) for experiment in experiments],
    }
    return render(request, "dispatch/policies.html", context)


def _rules(organisation: Organisation) -> list[Rules]:
    """The fleet's own first, then policies by name, the newest version of each first."""
    followers = _followers(organisation)
    rows = [Rules(organisation, None, followers[None])]
    names: set[str] = set()
    for policy in DispatchPolicy.objects.for_organisation(organisation)[:SHOWN_POLICIES]:
        rows.append(Rules(policy, policy, followers[policy.pk], policy.name not in names))
        names.add(policy.name)
    return rows


def _followers(organisation: Organisation) -> dict[int | None, list[str]]:
    """Plates of the active vehicles by policy; None: the fleet's own rules."""
    drawn = PolicyAssignment.objects.filter(experiment__organisation=organisation, experiment__ended_at=None)
    policies = dict(drawn.values_list("vehicle", "policy"))
    found: dict[int | None, list[str]] = defaultdict(list)
    vehicles = Vehicle.objects.for_organisation(organisation).filter(is_active=True).order_by("registration")
    for vehicle_id, plate in vehicles.values_list("pk", "registration"):
        found[policies.get(vehicle_id)].append(plate)
    return found


def _compared(experiment: PolicyExperiment) -> dict[str, Any]:
    arms = comparison.compare(experiment)
    return {"experiment": experiment, "arms": [(arm, in_words(arm, arms[0].policy)) for arm in arms]}
