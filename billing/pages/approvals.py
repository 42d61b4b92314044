"""What waits for a second person of the fleet: refunds and spending limits, approved, declined or withdrawn here."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.pages import access
from billing.pages.access import own, wallet_page
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of
from fleetcharge.lib.api import Conflict

DECIDED_SHOWN = 20
TONES = {"approved": "b-ok", "free": "b-ok", "declined": "b-bad"}


@wallet_page
def approval_list(request: FleetRequest) -> HttpResponse:
    """What waits, with what would change, and what was decided lately; few queries however many there are."""
    rows = Approval.objects.for_organisation(organisation_of(request)).exclude(kind__in=services.ours())
    rows = rows.select_related("asked_by", "decided_by", "organisation")
    waiting = list(rows.filter(state=Approval.State.ASKED)[:100])
    decided = rows.exclude(state=Approval.State.ASKED).order_by("-decided_at")[:DECIDED_SHOWN]
    may_act = access.may_act(request)
    context = {
        "at": "approvals", "may_act": may_act, "decided": [(row, TONES.get(row.state, "b-off")) for row in decided],
        "waiting": [
            (row, services.changes(row), may_act and row.asked_by_id != request.user.pk, row.asked_by == request.user)
            for row in waiting
        ],
    }  # fmt: skip
    return render(request, "wallet/approvals.html", context)


@wallet_page
def approval_act(request: FleetRequest, pk: int) -> HttpResponse:
    """Approve, decline or withdraw one; each with a reason, but a yes."""
    row: Approval = own(request, Approval.objects.exclude(kind__in=services.ours()), pk=pk)
    user = access.person(request)
    if request.method == "POST" and user is not None:
        reason, now = request.POST.get("reason", "").strip()[:500], timezone.now()
        deeds: dict[str, Callable[[], Any]] = {
            "approve": lambda: services.approve(approval_id=row.pk, decided_by=user, now=now, reason=reason),
            "decline": lambda: services.decline(approval_id=row.pk, decided_by=user, now=now, reason=reason),
            "withdraw": lambda: services.withdraw(approval_id=row.pk, by=user, now=now, reason=reason),
        }
        _do(request, deeds.get(request.POST.get("deed", "")), row)
    return HttpResponseRedirect(reverse("wallet-approvals"))


def _do(request: FleetRequest, deed: Callable[[], Any] | None, row: Approval) -> None:
    if deed is None:
        return
    try:
        deed()
        messages.success(request, _("Done: %(title)s.") % {"title": row.title})
    except Conflict as error:
        said = {
            "already_decided": _("Somebody has decided this already."), "expired": _("It has expired."),
            "insufficient": _("The money is spent or held for running sessions."),
        }  # fmt: skip
        told = said.get(str(error.get_codes()), _("It cannot be done any more: something has changed since."))
        messages.error(request, told)
    except ValueError:
        messages.error(request, _("Another person of your fleet has to decide, and a refusal says why."))
