"""Which agreement of a fleet holds at a connector at a moment: a negotiated rate, or its subscription."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection
from django.db.models import Q

from billing.gst.numbering import day_in_india
from billing.prices import periods
from billing.prices.models import NegotiatedRate, PlanVersion, Subscription, SubscriptionTerm
from billing.prices.periods import Span, Term
from stations.models import Connector, Source


@dataclass(frozen=True)
class Subscribed:
    """The version that holds on a day, and the whole of the subscription."""

    subscription: Subscription
    version: PlanVersion
    terms: list[Term]
    lived: Span
    period: Span


_ANY = """
SELECT EXISTS (SELECT 1 FROM billing_negotiatedrate
               WHERE organisation_id = %(organisation)s AND source_id = %(source)s AND valid_from <= %(at)s),
       EXISTS (SELECT 1 FROM billing_subscription p, stations_source s
               WHERE p.organisation_id = %(organisation)s AND p.starts_on <= %(day)s
                 AND (p.ends_before IS NULL OR p.ends_before > %(day)s)
                 AND s.id = %(source)s AND s.kind = %(ours)s)
"""


def anything_at(*, organisation_id: int, connector: Connector, at: datetime) -> tuple[bool, bool]:
    """May there be a rate, is there a subscription? One query for the many fleets that have neither.

    Subscriptions hold at our own chargers; at a network its own prices hold. Needs evse__location.
    """
    values: dict[str, int | str | datetime | date] = {
        "organisation": organisation_id, "source": connector.evse.location.source_id, "at": at,
        "day": day_in_india(at), "ours": Source.Kind.OWN_OCPP.value,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ANY, values)
        has_rate, has_subscription = cursor.fetchone()
    return bool(has_rate), bool(has_subscription)


def rate_at(*, organisation_id: int, connector: Connector, at: datetime) -> NegotiatedRate | None:
    """The site's own before the network's; of each the newest version that has begun, unless that one ends it.

    Needs evse__location.
    """
    place = connector.evse.location
    begun = NegotiatedRate.objects.filter(
        Q(location=place) | Q(location=None), organisation=organisation_id, source=place.source_id, valid_from__lte=at
    ).order_by("-valid_from", "-version")
    return rate_of(begun, location_id=place.pk, at=at)


def rate_of(rates: Iterable[NegotiatedRate], *, location_id: int, at: datetime) -> NegotiatedRate | None:
    """That of `rate_at`, of all rates of a fleet and a network, the newest first."""
    newest: dict[int | None, NegotiatedRate] = {}
    for rate in rates:
        if rate.valid_from <= at:
            newest.setdefault(rate.location_id, rate)
    for scope in (location_id, None):
        found = newest.get(scope)
        if found is not None and not found.is_end and (found.valid_to is None or found.valid_to > at):
            return found
    return None


def subscribed_at(*, organisation_id: int, at: datetime) -> Subscribed | None:
    day = day_in_india(at)
    rows = Subscription.objects.filter(organisation=organisation_id, starts_on__lte=day)
    subscription = rows.filter(Q(ends_before=None) | Q(ends_before__gt=day)).order_by("-pk").first()
    return None if subscription is None else on_day(subscription, day)


def on_day(subscription: Subscription, day: date) -> Subscribed | None:
    """None on a day without a term."""
    rows = list(SubscriptionTerm.objects.filter(subscription=subscription).select_related("plan_version__plan"))
    terms = [Term(row.number, row.starts_on, row.plan_version_id) for row in rows]
    versions = {row.plan_version_id: row.plan_version for row in rows}
    found = periods.version_on(terms, day)
    if found is None:
        return None
    lived = Span(subscription.starts_on, subscription.ends_before or date.max)
    period = periods.period_of(subscription.cycle, subscription.starts_on, day)
    return Subscribed(subscription, versions[found], terms, lived, period)
