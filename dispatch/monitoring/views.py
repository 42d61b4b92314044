"""The page of monitoring, and the step of a ticket that is taken there."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from dispatch.monitoring import reads
from dispatch.views import needs
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.tenancy import FleetRequest, author_of, organisation_of
from stations.health import tickets
from stations.health.models import MaintenanceTicket

STEPS = [choice for choice in MaintenanceTicket.State.choices if choice[0] not in {"open", "healed"}]


class StepForm(forms.Form):
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=STEPS)
    note = forms.CharField(label=gettext_lazy("Note"), required=False, max_length=1000)


@needs(Scope.DISPATCH_READ)
def overview(request: FleetRequest) -> HttpResponse:
    organisation, now = organisation_of(request), timezone.now()
    silent, failing = reads.silent_chargers(organisation, now=now), reads.failing_units(organisation)
    tickets_open = reads.open_tickets(organisation)
    context = {
        "networks": reads.networks(organisation, now=now),
        "silent": silent[: reads.SHOWN],
        "failing": [reads.failing(row, organisation) for row in failing[: reads.SHOWN]],
        "tickets": tickets_open[: reads.SHOWN],
        "counts": {"silent": silent.count(), "failing": failing.count(), "tickets": tickets_open.count()},
        "steps": STEPS,
        "can_change": Scope.STATIONS_WRITE in request.scopes,
        "now": now,
    }
    return render(request, "dispatch/monitoring.html", context)


@needs(Scope.STATIONS_WRITE)
@require_POST
def step(request: FleetRequest, ticket_id: int) -> HttpResponse:
    """Plan, work on or close a ticket of one's own; what is refused is said, and nothing changed."""
    own = MaintenanceTicket.objects.for_organisation(organisation_of(request))
    ticket = get_object_or_404(own, pk=ticket_id)
    form = StepForm(request.POST)
    try:
        if not form.is_valid():
            raise tickets.TicketRefused(_("Say what is to become of the ticket."))
        tickets.change_ticket(ticket_id=ticket.pk, now=timezone.now(), **author_of(request), **form.cleaned_data)
    except tickets.TicketRefused as refusal:
        messages.error(request, refusal.messages[0])
    else:
        messages.success(request, _("Saved."))
    return redirect("monitoring")
