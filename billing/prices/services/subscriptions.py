"""A fleet subscribes, changes its plan, ends: each once, however often it is asked for, and no day counts twice."""

from datetime import date

from django.db import transaction
from django.db.models import Q

from billing.prices.models import PlanVersion, Subscription, SubscriptionTerm
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict


@transaction.atomic
def subscribe(
    *, organisation_id: int, plan_version_id: int, starts_on: date, key: str, cycle: str = Subscription.Cycle.CALENDAR,
    actor: User | None = None,
) -> Subscription:  # fmt: skip
    """The same `key` again returns the first. Raises Conflict when the fleet has one on that day."""
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
    if known := _known(organisation_id, key):
        return known
    rows = Subscription.objects.filter(Q(ends_before=None) | Q(ends_before__gt=starts_on), organisation=organisation)
    if rows.exists():
        raise Conflict("The fleet has a subscription on that day.", code="subscribed")
    subscription = Subscription.objects.create(organisation=organisation, cycle=cycle, starts_on=starts_on)
    _begin(subscription, plan_version_id, starts_on, key, actor)
    return subscription


@transaction.atomic
def change_plan(
    *, subscription_id: int, plan_version_id: int, on: date, key: str, actor: User | None = None
) -> Subscription:
    """By another version from that day on. On one day the last change counts, and the day is charged once.

    The same `key`, or the plan that holds already, changes nothing. Raises Conflict for a day before the last change,
    outside the subscription or in a period that is charged.
    """
    subscription = Subscription.objects.select_for_update().select_related("organisation").get(pk=subscription_id)
    if known := _known(subscription.organisation_id, key):
        return known
    last = subscription.terms.order_by("-number").first()
    assert last is not None  # noqa: S101 (made with its first term)
    if on < last.starts_on or (subscription.ends_before is not None and on >= subscription.ends_before):
        raise Conflict("The plan cannot be changed on that day.", code="not_that_day")
    _not_charged(subscription, on)
    if last.plan_version_id != plan_version_id:
        _begin(subscription, plan_version_id, on, key, actor, last.number + 1)
    return subscription


@transaction.atomic
def end(*, subscription_id: int, before: date, actor: User | None = None, reason: str = "") -> Subscription:
    """Its last day is the one before; from then on the fleet pays as it goes. The same day again changes nothing."""
    subscription = Subscription.objects.select_for_update().select_related("organisation").get(pk=subscription_id)
    if subscription.ends_before == before:
        return subscription
    if subscription.ends_before is not None or before < subscription.starts_on:
        raise Conflict("It cannot end on that day.", code="not_that_day")
    _not_charged(subscription, before)
    subscription.ends_before = before
    subscription.save(update_fields=["ends_before"])
    audit(
        action="end", target=subscription, actor=actor, reason=reason, organisation=subscription.organisation,
        after={"ends_before": before.isoformat()},
    )  # fmt: skip
    return subscription


def _known(organisation_id: int, key: str) -> Subscription | None:
    term = SubscriptionTerm.objects.select_related("subscription").filter(request_key=_key(organisation_id, key))
    found = term.first()
    return found.subscription if found else None


def _key(organisation_id: int, key: str) -> str:
    return f"{organisation_id}:{key}"[:80]


def _not_charged(subscription: Subscription, day: date) -> None:
    if subscription.fees.filter(period_end__gt=day).exists():
        raise Conflict("That period is charged already.", code="charged")


def _begin(
    subscription: Subscription, plan_version_id: int, on: date, key: str, actor: User | None, number: int = 1
) -> None:
    version = PlanVersion.objects.select_related("plan").get(pk=plan_version_id)
    term = SubscriptionTerm.objects.create(
        subscription=subscription, number=number, plan_version=version, starts_on=on,
        request_key=_key(subscription.organisation_id, key), actor=str(actor or "system")[:120],
    )  # fmt: skip
    audit(
        action="subscribe" if number == 1 else "change_plan", target=subscription, actor=actor,
        organisation=subscription.organisation, after={"plan": str(version), "on": term.starts_on.isoformat()},
    )  # fmt: skip
