"""Finance's home: spend, how long the wallet lasts, what is held back and for how long."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, NullIf
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.desk.figures import held, mandates, spend_by_day, waiting
from billing.models import CDR, BillingException, ChargingSession, LedgerTransfer, Wallet
from billing.services.standing import BURN_DAYS, burn_seconds, lasts_days
from billing.services.tariffs import zone_of
from fleetcharge.accounts.admin import DESK
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.money import format_inr

AT_STAKE = Coalesce(NullIf("amount_paise", 0), "session__cdr__total_paise", 0)
"""What an exception is about, in paise: its own amount, else what its session cost."""
AGES = (
    (timedelta(days=1), gettext_lazy("under a day")), (timedelta(days=3), gettext_lazy("1 to 3 days")),
    (timedelta(days=3650), gettext_lazy("over 3 days")),
)  # fmt: skip


def finance_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK; a handful of aggregate queries, whatever the number of sessions."""
    user, organisation = request.user, getattr(request, "organisation", None)
    is_all = bool(getattr(user, "is_superuser", False)) and organisation is None
    if not is_all and not (organisation and (getattr(user, "is_superuser", False) or request.role in DESK)):  # type: ignore[attr-defined]
        return context
    now = timezone.now()
    context["finance"] = figures(
        organisation=organisation, now=now, user_id=user.pk, is_operator=bool(getattr(user, "is_superuser", False))
    )
    return context


def figures(
    *, organisation: Organisation | None, now: datetime, user_id: int | None = None, is_operator: bool = False
) -> dict[str, Any]:
    """Cards and tables for one organisation, or for all (None)."""
    of = Q() if organisation is None else Q(organisation=organisation)
    local = now.astimezone(zone_of(organisation.time_zone if organisation else "Asia/Kolkata"))
    today = local.replace(hour=0, minute=0, second=0, microsecond=0)
    cdrs = CDR.objects.filter(of, rated_at__isnull=False)
    burn, seconds = _burn(cdrs, now)
    wallet = _wallet(of)
    zone = zone_of(organisation.time_zone if organisation else "Asia/Kolkata")
    return {
        "held": held(organisation),
        "mandates": mandates(of),
        "waiting": waiting(of, user_id=user_id, is_operator=is_operator),
        "spend": spend_by_day(of, now=now, zone=zone),
        "cards": [
            _card(_("Spend today"), _sum(cdrs.filter(ended_at__gte=today)), "billing_cdr"),
            _card(
                _("Spend this month"),
                _sum(cdrs.filter(ended_at__gte=today.replace(day=1))),
                "billing_cdr",
                _("%(amount)s by this time last month") % {"amount": format_inr(_last_month(cdrs, today, local))},
            ),
            _card(_("Available"), wallet["available"], "billing_wallet", _runway(wallet["available"], burn, seconds)),
            _card(_("Held for running sessions"), wallet["held"], "billing_hold"),
            _card(_("Owed beyond the wallet"), _owed(of), "billing_ledgertransfer"),
        ],
        "reasons": _reasons(BillingException.objects.open().filter(of), now),
        "ages": [str(label) for _age, label in AGES],
        "running": ChargingSession.objects.active().filter(of).count(),
        "exceptions_url": reverse("admin:billing_billingexception_changelist"),
    }


def _last_month(cdrs: QuerySet[CDR], today: datetime, local: datetime) -> int:
    """Up to the same day and hour; up to its end where it was shorter."""
    end = today.replace(day=1)
    begin = (end - timedelta(days=1)).replace(day=1)
    return _sum(cdrs.filter(ended_at__gte=begin, ended_at__lt=min(end, begin + (local - end))))


def _sum(cdrs: QuerySet[CDR]) -> int:
    sums = cdrs.aggregate(priced=Sum("total_paise"), adjusted=Sum("session__adjusted_paise"))
    return int((sums["priced"] or 0) + (sums["adjusted"] or 0))


def _wallet(of: Q) -> dict[str, int]:
    sums = Wallet.objects.filter(of).aggregate(
        available=Sum(F("posted_paise") - F("held_paise") + F("credit_limit_paise")), held=Sum("held_paise")
    )
    return {name: int(value or 0) for name, value in sums.items()}


def _owed(of: Q) -> int:
    """Balance of the receivable accounts, from the journal."""
    lent = LedgerTransfer.objects.filter(of, debit__code__startswith="receivable:").aggregate(s=Sum("amount_paise"))[
        "s"
    ]
    paid = LedgerTransfer.objects.filter(of, credit__code__startswith="receivable:").aggregate(s=Sum("amount_paise"))[
        "s"
    ]
    return int((lent or 0) - (paid or 0))


def _burn(cdrs: QuerySet[CDR], now: datetime) -> tuple[int, int]:
    """A week's spend, and the seconds it is spread over: fewer for who began to charge within it."""
    since = now - timedelta(days=BURN_DAYS)
    is_older = cdrs.filter(ended_at__lt=since).exists()
    first = None if is_older else cdrs.filter(ended_at__gte=since).aggregate(first=Min("ended_at"))["first"]
    return _sum(cdrs.filter(ended_at__gte=since)), burn_seconds(first, now)


def _runway(available_paise: int, burn_paise: int, seconds: int) -> str:
    days = lasts_days(available_paise, burn_paise, seconds)
    if days is None:
        return _("No spend in the last 7 days")
    return ngettext(
        "Lasts %(days)d day at the last week's pace", "Lasts %(days)d days at the last week's pace", days
    ) % {"days": days}


def _card(title: str, paise: int, model: str, note: str = "") -> dict[str, str]:
    return {
        "title": title, "value": format_inr(paise), "note": note, "url": reverse(f"admin:{model}_changelist")
    }  # fmt: skip


def _reasons(exceptions: QuerySet[BillingException], now: datetime) -> Sequence[dict[str, Any]]:
    """One row per kind: how many, how much money waits, and how long."""
    counts: dict[str, Any] = {}
    youngest = now
    for index, (age, _label) in enumerate(AGES):
        oldest = now - age
        counts[f"age_{index}"] = Count("pk", filter=Q(opened_at__gt=oldest, opened_at__lte=youngest))
        youngest = oldest
    rows: Any = (
        exceptions.order_by()
        .values("kind")
        .annotate(
            count=Count("pk"),
            unowned=Count("pk", filter=Q(owner=None)),
            amount=Sum(AT_STAKE),
            **counts,
        )
        .order_by("-amount", "kind")
    )
    address = reverse("admin:billing_billingexception_changelist")
    return [
        {
            "label": BillingException.Kind(row["kind"]).label,
            "count": row["count"],
            "amount": format_inr(row["amount"] or 0),
            "unowned": row["unowned"],
            "ages": [
                (row[f"age_{index}"], f"{address}?kind__exact={row['kind']}&age={index}") for index in range(len(AGES))
            ],
            "url": f"{address}?kind__exact={row['kind']}",
        }
        for row in rows
    ]
