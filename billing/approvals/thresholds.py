"""What is small enough to need nobody else, per kind and day, and how long a wish may wait."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Sum

from billing.approvals.models import Approval
from billing.models import ChargingPolicy
from fleetcharge.accounts.models import Organisation

SPEND_LIMIT = "spend_limit"
A_DAY = timedelta(days=1)


def free_up_to(kind: str, organisation_id: int) -> int:
    """Paise that one person alone may move for a fleet within 24 hours; mostly 0.

    Spending limits are the fleet's own policy, everything else is FLEETCHARGE_APPROVAL_FREE_RUPEES.
    """
    if kind == SPEND_LIMIT:
        return raise_free_paise(organisation_id) or 0
    return int(settings.APPROVAL_FREE_PAISE.get(kind, 0))


def raise_free_paise(organisation_id: int) -> int | None:
    """By how much finance alone raises a spending limit; None: by anything, no second person is wanted."""
    rows = ChargingPolicy.objects.filter(organisation=organisation_id)
    return rows.values_list("limit_raise_free_paise", flat=True).first()


def expires_at(now: datetime) -> datetime:
    return now + timedelta(days=settings.APPROVAL_DAYS)


def is_free(approval: Approval, *, now: datetime) -> bool:
    """Small, together with what was small and of the same kind for this fleet in the last 24 hours.

    Many small ones are not a big one in disguise: the fleet's row is locked, so two at a time count each other.
    """
    if not 0 < approval.amount_paise <= approval.free_up_to_paise:
        return False
    Organisation.objects.select_for_update(no_key=True).get(pk=approval.organisation_id)
    same = Approval.objects.filter(
        organisation=approval.organisation_id, kind=approval.kind, state=Approval.State.FREE, decided_at__gt=now - A_DAY
    )
    before = same.aggregate(total=Sum("amount_paise"))["total"] or 0
    return bool(before + approval.amount_paise <= approval.free_up_to_paise)
