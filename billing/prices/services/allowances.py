"""Included energy: what is left of a month's pool, what a session takes of it, and the order of sessions in the end."""

from datetime import datetime
from math import floor

from django.db import transaction
from django.db.models import Sum

from billing.models import CDR
from billing.prices import periods
from billing.prices.models import AllowanceUse, PlanVersion, Subscription
from billing.prices.services.resolution import Subscribed

Pool = PlanVersion.Pool


def left_wh(subscribed: Subscribed, *, vehicle_id: int | None, is_locked: bool = False) -> int:
    """Wh of the period that nobody has used yet; `is_locked`: and nobody uses before this transaction is over.

    A pool by vehicle is nothing for a session without one.
    """
    if is_locked:
        Subscription.objects.select_for_update(no_key=True).get(pk=subscribed.subscription.pk)
    if subscribed.version.pool == Pool.VEHICLE and vehicle_id is None:
        return 0
    uses = AllowanceUse.objects.filter(
        subscription=subscribed.subscription, period_start=subscribed.period.start,
        vehicle=_owner(subscribed, vehicle_id),
    )  # fmt: skip
    return max(0, pool_wh(subscribed) - int(uses.aggregate(wh=Sum("wh"))["wh"] or 0))


def pool_wh(subscribed: Subscribed) -> int:
    """All of a period: each plan's for its days, exact fractions, down to a whole Wh once."""
    shares = periods.shares(subscribed.period, subscribed.lived, subscribed.terms)
    versions = PlanVersion.objects.filter(pk__in={share.version for share in shares})
    included = dict(versions.values_list("pk", "included_wh"))
    return floor(sum(share.of(included[share.version]) for share in shares))


def use(*, subscribed: Subscribed, cdr: CDR, wh: int) -> None:
    """Write down what a session used, 0 as well: with every session of the plan the order can be set right later."""
    AllowanceUse.objects.create(
        subscription=subscribed.subscription, period_start=subscribed.period.start,
        vehicle_id=_owner(subscribed, cdr.session.vehicle_id), cdr=cdr, started_at=cdr.started_at, wh=wh,
    )  # fmt: skip


@transaction.atomic
def put_in_order(*, subscribed: Subscribed, now: datetime) -> int:
    """Sessions may be priced in another order than they began in: the earlier ones get what is included.

    What changes is booked as a correction of the session. Returns how many did.
    """
    from billing.services import adjustments

    Subscription.objects.select_for_update(no_key=True).get(pk=subscribed.subscription.pk)
    rows = AllowanceUse.objects.filter(subscription=subscribed.subscription, period_start=subscribed.period.start)
    left: dict[int | None, int] = {}
    changed = 0
    for row in rows.select_related("cdr").order_by("started_at", "pk"):
        figures = adjustments.figures_of(row.cdr)
        wh = min(left.setdefault(row.vehicle_id, pool_wh(subscribed)), figures.energy_wh)
        left[row.vehicle_id] -= wh
        if wh != row.wh:
            AllowanceUse.objects.filter(pk=row.pk).update(wh=wh)
            adjustments.adjust_included(cdr_id=row.cdr_id, now=now)
            changed += 1
    return changed


def _owner(subscribed: Subscribed, vehicle_id: int | None) -> int | None:
    return vehicle_id if subscribed.version.pool == Pool.VEHICLE else None
