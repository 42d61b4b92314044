"""A division in the ledger: the fleet's own electricity, as an expense of each vehicle and cost centre."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.services import ledger
from billing.services.ledger import Dimensions, Leg
from billing.utility.evidence import grid_of
from billing.utility.models import UtilityAllocation, UtilityBill
from billing.utility.report import IS_DEPOT
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

KIND = "utility"


@transaction.atomic
def post(*, allocation_id: int, actor: User, now: datetime) -> UtilityAllocation:
    """`electricity:<organisation>` against `utility_payable:<organisation>`, one entry per vehicle and cost centre.

    It is about the last moment of the bill's period. A version that is in the ledger is taken back by mirrored entries
    first. Raises Conflict when this one is in the ledger, was taken back (dividing again makes one that may come), or
    is not the newest, and for a withdrawn bill.
    """
    row = _locked(allocation_id)
    if row.is_in_ledger:
        raise Conflict("This version was posted already.", code="already_posted")
    if row.reversed_at is not None:
        raise Conflict("This version was taken back: divide the bill again, and post that.", code="taken_back")
    if row.bill.withdrawn_at is not None:
        raise Conflict("This bill is withdrawn.", code="bill_withdrawn")
    if row.bill.allocations.filter(version__gt=row.version).exists():
        raise Conflict("There is a newer version.", code="newer_version")
    for earlier in row.bill.allocations.filter(posted_at__isnull=False, reversed_at=None):
        _take_back(earlier, row.bill, actor, now)
    for entry, about, paise in _entries(row):
        _write(f"utility:{row.pk}:{entry}", about, paise, row, actor)
    row.posted_at, row.posted_by = now, actor
    row.save(update_fields=["posted_at", "posted_by"])
    audit(
        action="post_utility_bill", target=row, actor=actor, organisation=row.organisation,
        after={"version": row.version, "total_paise": row.total_paise},
    )  # fmt: skip
    return row


@transaction.atomic
def take_back(*, allocation_id: int, actor: User, reason: str, now: datetime) -> UtilityAllocation:
    """Out of the ledger again, by mirrored entries; Conflict when it is not in it."""
    if not reason.strip():
        raise ValueError("Taking it back needs a reason.")
    row = _locked(allocation_id)
    if not row.is_in_ledger:
        raise Conflict("This version is not in the ledger.", code="not_posted")
    _take_back(row, row.bill, actor, now)
    audit(action="take_back_utility_bill", target=row, actor=actor, reason=reason, organisation=row.organisation)
    return row


def _locked(allocation_id: int) -> UtilityAllocation:
    bill_id = UtilityAllocation.objects.values_list("bill_id", flat=True).get(pk=allocation_id)
    UtilityBill.objects.select_for_update().get(pk=bill_id)
    rows = UtilityAllocation.objects.select_related("bill__supply__location", "organisation")
    row: UtilityAllocation = rows.get(pk=allocation_id)
    return row


def _entries(row: UtilityAllocation) -> Iterable[tuple[str, dict[str, Any], int]]:
    """Key, dimensions and amount; what guests and the depot itself bear has no vehicle."""
    groups = row.shares.annotate(is_depot=IS_DEPOT).values("vehicle", "cost_centre", "is_guest", "is_depot")
    sums = groups.annotate(paise=Sum("total_paise"))
    by_key: dict[str, tuple[dict[str, Any], int]] = {}
    for each in sums.order_by("vehicle", "cost_centre", "is_guest"):
        key = f"vehicle-{each['vehicle']}" if each["vehicle"] else (
            "depot" if each["is_depot"] else "guests" if each["is_guest"] else "unknown"
        )  # fmt: skip
        about = {"vehicle_id": each["vehicle"], "cost_centre": each["cost_centre"]}
        by_key[key] = (about, by_key.get(key, (about, 0))[1] + int(each["paise"]))
    return [(key, about, paise) for key, (about, paise) in by_key.items() if paise]


def _write(key: str, about: dict[str, Any], paise: int, row: UtilityAllocation, actor: User) -> None:
    """A credit goes the other way round."""
    organisation_id = row.organisation_id
    cost, owed = f"electricity:{organisation_id}", f"utility_payable:{organisation_id}"
    debit, credit = (cost, owed) if paise > 0 else (owed, cost)
    memo = f"{row.bill.supply.utility} {row.bill.number}"[:200]
    place = row.bill.supply.location_id
    ledger.post(
        entry_key=key, legs=[Leg(debit, credit, abs(paise), KIND, memo)], occurred_at=_end_of(row.bill),
        about=Dimensions(organisation_id=organisation_id, location_id=place, **about), actor=str(actor),
    )  # fmt: skip


def _end_of(bill: UtilityBill) -> datetime:
    return grid_of(bill, bill.supply).ended_at - timedelta(seconds=1)


def _take_back(row: UtilityAllocation, bill: UtilityBill, actor: User, now: datetime) -> None:
    for entry, _, _ in _entries(row):
        key = f"utility:{row.pk}:{entry}"
        ledger.reverse(
            entry_key=key, as_key=f"{key}:back", reason=f"{bill.number} divided again", occurred_at=_end_of(bill),
            actor=str(actor),
        )  # fmt: skip
    row.reversed_at = now
    row.save(update_fields=["reversed_at"])
