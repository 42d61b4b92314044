"""The page of policies: what plans saved day by day, the rules there are and who follows them, and how they compare."""

from collections import defaultdict
from datetime import timedelta
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing.services.tariffs import zone_of
from dispatch.policies import assignment, comparison, outcomes
from dispatch.policies.forms import BeginForm, GiveForm, PolicyForm, newest
from dispatch.policies.models import DispatchPolicy, PlanOutcome, PolicyAssignment, PolicyExperiment
from dispatch.policies.words import REFUSED, in_words
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from vehicles.models import Vehicle

SHOWN_DAYS = 30
SHOWN_EXPERIMENTS = 5
SHOWN_POLICIES = 60
BEGIN, GIVE = "begin_%s", "give_%s"
"""Ids of fields: three forms stand on one page."""


class Rules(NamedTuple):
    """The fleet's own, or a version of a policy, with the plates of the vehicles that follow it now."""

    policy: DispatchPolicy | Organisation
    version: DispatchPolicy | None
    plates: list[str]
    is_newest: bool = True


@needs(Scope.DISPATCH_READ)
def overview(request: FleetRequest) -> HttpResponse:
    """With a form for a new policy, or for the next version of the one that is to be changed."""
    edited = _edited(request)
    return _page(request, {"policy": PolicyForm(initial=PolicyForm.figures_of(edited or organisation_of(request)))})


@needs(Scope.DISPATCH_WRITE)
@require_POST
def save(request: FleetRequest) -> HttpResponse:
    """A new policy, or the next version of the one of that name; nobody follows it yet."""
    form = PolicyForm(request.POST)
    if not form.is_valid():
        return _refused(request, "policy", form)
    policy = assignment.new_version(
        organisation=organisation_of(request), now=timezone.now(), **form.figures(), **author_of(request)
    )
    messages.success(request, _("%(policy)s is there. Nobody follows it yet.") % {"policy": policy})
    return _back()


@needs(Scope.DISPATCH_WRITE)
@require_POST
def begin(request: FleetRequest) -> HttpResponse:
    """An experiment: every vehicle of the fleet is drawn by the shares."""
    form = BeginForm(request.POST, auto_id=BEGIN, policies=newest(organisation_of(request)))
    if not form.is_valid():
        return _refused(request, "begin", form)
    try:
        assignment.start(
            organisation=organisation_of(request), name=form.cleaned_data["name"], shares=form.shares(),
            now=timezone.now(), **author_of(request),
        )  # fmt: skip
    except assignment.PolicyRefused as refusal:
        return _refused(request, "begin", form, refusal.code)
    messages.success(request, _("The experiment has begun."))
    return _back()


@needs(Scope.DISPATCH_WRITE)
@require_POST
def give(request: FleetRequest) -> HttpResponse:
    """A policy for vehicles of one's own choice."""
    organisation = organisation_of(request)
    form = GiveForm(request.POST, auto_id=GIVE, policies=newest(organisation), organisation=organisation)
    if not form.is_valid():
        return _refused(request, "give", form)
    policy = form.cleaned_data["policy"]
    try:
        new = assignment.assign(
            organisation=organisation, policy_id=policy.pk, vehicle_ids=form.cleaned_data["plates"],
            now=timezone.now(), **author_of(request),
        )  # fmt: skip
    except assignment.PolicyRefused as refusal:
        return _refused(request, "give", form, refusal.code)
    told = {"policy": policy, "number": len(new)}
    messages.success(request, _("%(policy)s is followed by %(number)s more vehicles from now on.") % told)
    return _back()


@needs(Scope.DISPATCH_WRITE)
@require_POST
def end(request: FleetRequest, experiment_id: int) -> HttpResponse:
    """Every vehicle follows its fleet's rules again."""
    own = PolicyExperiment.objects.for_organisation(organisation_of(request))
    experiment = get_object_or_404(own, pk=experiment_id)
    assignment.end(experiment=experiment, now=timezone.now(), **author_of(request))
    messages.success(request, _("It is over: all vehicles follow the fleet's own rules."))
    return _back()


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("policies"))


def _refused(request: FleetRequest, name: str, form: forms.Form, code: str = "") -> HttpResponse:
    """Why, above the form, which keeps what was typed."""
    told = [str(REFUSED[code])] if code else [str(text) for texts in form.errors.values() for text in texts]
    messages.error(request, " ".join(dict.fromkeys(told)))
    return _page(request, {name: form}, status=400)


def _edited(request: FleetRequest) -> DispatchPolicy | None:
    """The one that the address names; another fleet's does not exist."""
    text = request.GET.get("edit", "")
    if not text:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    policy: DispatchPolicy = get_object_or_404(
        DispatchPolicy.objects.for_organisation(organisation_of(request)), pk=number
    )
    return policy


def _page(request: FleetRequest, filled: dict[str, forms.Form], *, status: int = 200) -> HttpResponse:
    organisation = organisation_of(request)
    today = timezone.now().astimezone(zone_of(organisation.time_zone)).date()
    since = today - timedelta(days=SHOWN_DAYS - 1)
    recent = PlanOutcome.objects.for_organisation(organisation).filter(planned_on__gte=since)
    experiments = list(PolicyExperiment.objects.for_organisation(organisation)[:SHOWN_EXPERIMENTS])
    context = {
        "days": outcomes.saved_by_day(organisation, since=since, until=today),
        "total": outcomes.totals(recent),
        "rules": _rules(organisation),
        "experiments": [_compared(experiment) for experiment in experiments],
        "can_change": Scope.DISPATCH_WRITE in request.scopes,
        "forms": _forms(organisation) | filled,
        "running": next((one for one in experiments if one.ended_at is None), None),
    }
    return render(request, "dispatch/policies.html", context, status=status)


def _forms(organisation: Organisation) -> dict[str, forms.Form]:
    policies = newest(organisation)
    return {
        "policy": PolicyForm(initial=PolicyForm.figures_of(organisation)),
        "begin": BeginForm(policies=policies, auto_id=BEGIN),
        "give": GiveForm(policies=policies, organisation=organisation, auto_id=GIVE),
    }


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
