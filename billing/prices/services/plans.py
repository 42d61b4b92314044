"""Plans get new versions; what fleets are subscribed to never changes under them."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.prepared import prepare
from billing.prices.models import Plan, PlanVersion
from billing.tariff_terms import read_terms
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit


@transaction.atomic
def publish(
    *,
    plan_id: int,
    fee_paise: int,
    included_wh: int = 0,
    pool: str = PlanVersion.Pool.ORGANISATION,
    discount_percent: Decimal = Decimal(0),
    elements: list[dict[str, Any]] | None = None,
    terms: dict[str, Any] | None = None,
    actor: User | None = None,
) -> PlanVersion:
    """The next version; the same content again returns the newest. Running subscriptions stay with theirs.

    Raises TariffError (a ValueError) for a price that cannot be read, ValueError for figures below zero.
    """
    if fee_paise < 0 or included_wh < 0 or not 0 <= discount_percent <= 100:
        raise ValueError("A fee, included energy and a discount are not below zero.")
    if elements:
        prepare(elements).for_sessions()
        read_terms(terms)
    plan = Plan.objects.select_for_update().get(pk=plan_id)
    facts: dict[str, Any] = {
        "fee_paise": fee_paise, "included_wh": included_wh, "pool": pool, "discount_percent": discount_percent,
        "elements": elements or [], "terms": terms or {},
    }  # fmt: skip
    newest = plan.versions.order_by("-number").first()
    if newest is not None and all(getattr(newest, name) == value for name, value in facts.items()):
        return newest
    version = PlanVersion.objects.create(plan=plan, number=newest.number + 1 if newest else 1, **facts)
    audit(action="publish", target=version, actor=actor, after={name: str(value) for name, value in facts.items()})
    return version
