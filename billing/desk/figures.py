"""Parts of finance's home: held money and why, failing mandates, waiting decisions, spend by day. Few queries."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils.translation import gettext_lazy

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.models import CDR, BillingException, Mandate, Wallet
from billing.services.standing import held_by_reason
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.money import format_inr

SPEND_DAYS, WIDTH, HEIGHT, GAP = 14, 420, 96, 6
NAMED = {
    "charging": gettext_lazy("Charging now"), "pricing": gettext_lazy("Its price is coming"),
    "other": gettext_lazy("Other holds"),
}  # fmt: skip


def held(organisation: Organisation | None) -> Sequence[dict[str, Any]]:
    """Money that cannot be spent, by what it waits for; two queries."""
    wallet = Wallet.objects.filter(organisation=organisation).first() if organisation else None
    rows: list[dict[str, Any]] = []
    if organisation is not None and wallet is None:
        return rows
    for row in held_by_reason(wallet):
        is_kind = row.reason in BillingException.Kind.values
        label = BillingException.Kind(row.reason).label if is_kind else str(NAMED[row.reason])
        queue = reverse("admin:billing_billingexception_changelist") + f"?kind__exact={row.reason}"
        url = queue if is_kind else reverse("admin:billing_hold_changelist")
        rows.append({"label": label, "count": row.count, "amount": format_inr(row.amount_paise), "url": url,
                     "needs_decision": is_kind})  # fmt: skip
    return rows


def mandates(of: Q) -> Sequence[dict[str, Any]]:
    """Those in force that fail, and those that ended by themselves lately; the worst first."""
    is_failing = Q(consecutive_failures__gt=0, state=Mandate.State.CONFIRMED) | Q(state=Mandate.State.PAUSED)
    rows = Mandate.objects.filter(of).filter(is_failing).select_related("organisation")
    return [
        {"mandate": row, "per_debit": format_inr(row.max_amount_paise), "state": row.get_state_display(),
         "url": reverse("admin:billing_mandate_change", args=[row.pk])}
        for row in rows.order_by("-consecutive_failures", "-pk")[:5]
    ]  # fmt: skip


def waiting(of: Q, *, user_id: int | None, is_operator: bool) -> Sequence[dict[str, Any]]:
    """What a second person has to decide, kind by kind, and how many of it this person may; one query."""
    kinds = approvals.kinds()
    rows = Approval.objects.open().filter(of).order_by().values("kind")
    if not is_operator:
        rows = rows.exclude(kind__in=approvals.ours())
    sums = rows.annotate(
        count=Count("pk"), paise=Sum("amount_paise"), oldest=Min("asked_at"),
        mine=Count("pk", filter=~Q(asked_by=user_id)),
    )  # fmt: skip
    address = reverse("admin:billing_approval_changelist")
    return [
        {"label": str(kinds[row["kind"]].label) if row["kind"] in kinds else row["kind"], "count": row["count"],
         "mine": row["mine"], "oldest": row["oldest"], "amount": format_inr(row["paise"] or 0),
         "url": f"{address}?kind={row['kind']}"}
        for row in sums.order_by("oldest")
    ]  # fmt: skip


def spend_by_day(of: Q, *, now: datetime, zone: tzinfo) -> dict[str, Any]:
    """The last two weeks as bars, with what each says in words; one query."""
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(SPEND_DAYS))]
    since = datetime.combine(days[0], datetime.min.time(), zone)
    sums = CDR.objects.filter(of, rated_at__isnull=False, ended_at__gte=since).order_by().annotate(
        day=TruncDate("ended_at", tzinfo=zone)
    ).values_list("day").annotate(priced=Sum("total_paise"), adjusted=Sum("session__adjusted_paise"))  # fmt: skip
    paise = {day: int((priced or 0) + (adjusted or 0)) for day, priced, adjusted in sums}
    return bars([(day, paise.get(day, 0)) for day in days])


def bars(days: Sequence[tuple[Any, int]]) -> dict[str, Any]:
    most, step = max([paise for _, paise in days], default=0), WIDTH // max(1, len(days))
    rows = []
    for place, (day, paise) in enumerate(days):
        height = max(paise, 0) * HEIGHT // most if most > 0 else 0
        rows.append({"x": place * step, "y": HEIGHT - height, "height": height, "width": step - GAP,
                     "day": day, "amount": format_inr(paise)})  # fmt: skip
    return {"bars": rows, "most": format_inr(most), "total": format_inr(sum(paise for _, paise in days)),
            "first": days[0][0] if days else None, "last": days[-1][0] if days else None,
            "width": WIDTH, "height": HEIGHT}  # fmt: skip
