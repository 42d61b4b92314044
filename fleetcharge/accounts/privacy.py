"""What is kept of people and for how long (DPDP Act, 2023), a copy of one's own, and the wish to have it erased."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from fleetcharge.accounts.models import AuditEntry, Membership, Organisation, User
from fleetcharge.accounts.services import audit

ERASURE = "privacy.erasure_wanted"
ASKED_ONCE_IN = timedelta(days=1)
MOST_ENTRIES = 10_000
_also_held: dict[str, Callable[[User], list[dict[str, Any]]]] = {}


def also_held(name: str, read: Callable[[User], list[dict[str, Any]]]) -> None:
    """What an app above keeps of a person is part of their copy, under this name."""
    _also_held[name] = read


@never_cache
def notice(request: HttpRequest) -> HttpResponse:
    """Open to everybody; days are the operator's own settings."""
    context = {
        "position_days": settings.POSITION_RETENTION_DAYS,
        "authorisation_days": settings.AUTHORISATION_RETENTION_DAYS,
        "webhook_days": settings.WEBHOOK_RETENTION_DAYS,
        "frame_days": settings.OCPP_RECORD_DAYS,
        "link_hours": settings.DRIVER_LINK_HOURS,
    }
    return render(request, "privacy.html", context)


@never_cache
def own_copy(request: HttpRequest) -> JsonResponse:
    """All that we hold of the person who is signed in, as a file."""
    person = _person(request)
    name = f"fleetcharge-{timezone.localdate():%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return JsonResponse(_held(person), json_dumps_params={"indent": 1, "ensure_ascii": False}, headers=headers)


@require_POST
def want_erasure(request: HttpRequest) -> HttpResponse:
    """The wish stands in the trail of each of the person's fleets, where its owners answer it; once a day is enough."""
    person = _person(request)
    memberships = Membership.objects.filter(user=person).select_related("organisation")
    fleets: list[Organisation | None] = [one.organisation for one in memberships]
    recent = AuditEntry.objects.filter(action=ERASURE, actor=person, at__gt=timezone.now() - ASKED_ONCE_IN)
    if not recent.exists():
        for fleet in fleets or [None]:
            audit(action=ERASURE, target=person, actor=person, organisation=fleet, is_internal=fleet is None)
    messages.success(request, _("Your wish is noted. The owners of your fleet see it and answer within 30 days."))
    return redirect("privacy")


def _person(request: HttpRequest) -> User:
    return User.objects.get(pk=request.user.pk or 0)


def _held(person: User) -> dict[str, Any]:
    memberships = Membership.objects.filter(user=person).select_related("organisation")
    entries = AuditEntry.objects.filter(actor=person).order_by("-pk")[:MOST_ENTRIES]
    return {
        "email": person.email, "full_name": person.full_name, "language": person.language,
        "joined_at": person.date_joined, "last_login_at": person.last_login,
        "memberships": [
            {"organisation": one.organisation.name, "role": one.role, "since": one.created_at} for one in memberships
        ],
        "deeds": list(entries.values("at", "action", "target_type", "target_id", "reason", "ip_address")),
        **{name: read(person) for name, read in _also_held.items()},
    }  # fmt: skip
