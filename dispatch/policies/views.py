"""The page of policies: what plans saved day by day, and how the policies of an experiment compare."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.services.tariffs import zone_of
from dispatch.policies import comparison, outcomes
from dispatch.policies.models import PlanOutcome, PolicyExperiment
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

SHOWN_DAYS = 30
SHOWN_EXPERIMENTS = 5


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
        "experiments": [(experiment, comparison.compare(experiment)) for experiment in experiments],
    }
    return render(request, "dispatch/policies.html", context)
