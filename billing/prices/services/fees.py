"""The fee of a subscription: charged once per period when it is over, days exactly shared, rounded once."""

import logging
from datetime import date, datetime, timedelta
from fractions import Fraction

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from billing.gst import gstin as gstins
from billing.gst.numbering import INDIA, day_in_india
from billing.gst.supply import Supply, supply_between
from billing.invoicing.services.parties import NoSupplier, Parties, supply_of
from billing.models import BillingException
from billing.prices import periods
from billing.prices.models import PlanVersion, Subscription, SubscriptionFee
from billing.prices.periods import Share, Span
from billing.prices.services import allowances, resolution
from billing.services import wallets
from billing.services.exceptions import open_exception
from billing.services.gst_rates import percent_at
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge
from billing.totals import gst, round_half_up
from fleetcharge.accounts.models import Organisation

log = logging.getLogger(__name__)
REVENUE = "revenue:subscription"
LONGEST_UNCHARGED = timedelta(days=400)


def charge_due(*, now: datetime) -> int:
    """Every period that is over and not charged yet; returns how many were. May run at any time, and twice.

    A subscription that cannot be charged is put before the operators and keeps no other from being charged.
    """
    today, charged = day_in_india(now), 0
    rows = Subscription.objects.filter(starts_on__lt=today).filter(
        Q(ends_before=None) | Q(ends_before__gt=today - LONGEST_UNCHARGED)
    )
    for subscription in rows.order_by("pk"):
        try:
            for period in due(subscription, today):
                charged += charge(subscription_id=subscription.pk, period=period, now=now)
        except Exception as error:  # whatever is wrong with it is wrong with it alone
            log.exception("subscription %s could not be charged", subscription.pk)
            _give_up(subscription, error, now)
    return charged


def _give_up(subscription: Subscription, error: Exception, now: datetime) -> None:
    """Asked of the platform's finance once while it lasts; the next run tries again."""
    open_exception(
        organisation_id=None, kind=BillingException.Kind.BOOKS_DIFFER, reference=f"subscription:{subscription.pk}",
        title=f"The fee of subscription {subscription.pk} could not be charged", at=now,
        details={"subscription": subscription.pk, "organisation": subscription.organisation_id,
                 "error": f"{type(error).__name__}: {error}"[:300]},
    )  # fmt: skip


def due(subscription: Subscription, today: date) -> list[Span]:
    """Periods of the subscription that are over: the last one as soon as it has ended itself."""
    lived = Span(subscription.starts_on, min(subscription.ends_before or date.max, today + timedelta(days=1)))
    known = set(subscription.fees.values_list("period_start", flat=True))
    ends = subscription.ends_before or date.max
    return [
        period
        for period in periods.periods(subscription.cycle, lived)
        if min(period.end, ends) <= today and period.start not in known
    ]


@transaction.atomic
def charge(*, subscription_id: int, period: Span, now: datetime) -> bool:
    """False when it was charged before or nothing of the period belongs to a plan. The wallet pays; what it cannot
    pay is owed, as for a session."""
    subscription = Subscription.objects.select_for_update(of=("self",)).select_related("organisation").get(
        pk=subscription_id
    )  # fmt: skip
    if subscription.fees.filter(period_start=period.start).exists():
        return False
    last = min(period.end, subscription.ends_before or date.max)
    subscribed = resolution.on_day(subscription, periods.day_before(last))
    if subscribed is None:
        return False
    shares = periods.shares(period, subscribed.lived, subscribed.terms)
    if not shares:
        return False
    allowances.put_in_order(subscribed=subscribed, now=now)
    _book(subscription, period, shares, now)
    return True


def _book(subscription: Subscription, period: Span, shares: list[Share], now: datetime) -> None:
    versions = {
        row.pk: row for row in PlanVersion.objects.select_related("plan").filter(pk__in={one.version for one in shares})
    }
    exact = sum((share.of(versions[share.version].fee_paise) for share in shares), Fraction(0))
    taxable, organisation = round_half_up(exact), subscription.organisation
    supply = _supply(organisation)
    moment = _last_moment(subscription, period)
    percent = 0 if supply.is_zero_rated else percent_at(moment)
    tax = gst(taxable, percent, is_interstate=supply.is_interstate)
    fee = SubscriptionFee.objects.create(
        subscription=subscription, organisation=organisation, period_start=period.start, period_end=period.end,
        shares=[
            {"plan_version": share.version, "name": str(versions[share.version]), "days": share.days,
             "of_days": share.of_days, "fee_paise": versions[share.version].fee_paise}
            for share in shares
        ],
        taxable_paise=taxable, cgst_paise=tax.cgst_paise, sgst_paise=tax.sgst_paise, igst_paise=tax.igst_paise,
        total_paise=taxable + tax.total_paise, charged_at=now,
    )  # fmt: skip
    heads = (
        (REVENUE, fee.taxable_paise), ("output_cgst", fee.cgst_paise), ("output_sgst", fee.sgst_paise),
        ("output_igst", fee.igst_paise),
    )  # fmt: skip
    memo = f"{versions[shares[-1].version].plan}, from {period.start}"
    wallets.capture(
        organisation_id=organisation.pk, session_key=f"subscription:{subscription.pk}",
        entry_key=f"subscription:{subscription.pk}:{period.start}",
        charges=[Charge(account, paise, "subscription", memo) for account, paise in heads if paise],
        about=Dimensions(organisation_id=organisation.pk), at=moment, now=now,
        currency=organisation.currency,
    )  # fmt: skip


def _supply(organisation: Organisation) -> Supply:
    """As its invoice will say; not known yet: in our own state."""
    parties = Parties(organisation)
    try:
        return supply_of(parties.supplier(), parties.recipient())
    except NoSupplier:
        return supply_between(supplier_state=gstins.state_of(settings.SUPPLIER_GSTIN))


def _last_moment(subscription: Subscription, period: Span) -> datetime:
    """In the month that it is about, so that a month has its own fees."""
    end = min(period.end, subscription.ends_before or date.max)
    return datetime(end.year, end.month, end.day, tzinfo=INDIA) - timedelta(microseconds=1)
