"""UBC orders in the ledger: paid before, settled after, and what is left over carried into the next order.

What a fleet owes for a session stands in cpo_payable, by the CDR, as for every network. Beside it:

- paying an order:      cpo_prepaid  <- ubc_clearing   (we owe it to the network's settlement)
- its final value:      cpo_payable  <- cpo_prepaid    (what was paid before is used up)
- a refund:             ubc_clearing <- cpo_prepaid
- an earlier balance, paid as a fee of this order: cpo_prepaid <- cpo_payable, so that it is settled once, and not twice

What stays in cpo_prepaid of a CPO is carried forward: above 0 it owes us (undercharge), below 0 we owe it (overcharge).
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from billing.models import BillingException, OrderSettlement
from billing.services import ledger
from billing.services.exceptions import open_exception
from billing.services.ledger import Dimensions, Leg
from stations.cpo.ubc.models import UBCCarry, UBCOrder
from vehicles.models import IdToken

State = UBCOrder.State
PAYING = (State.CONFIRMED, State.CHARGING, State.COMPLETED)
KIND = "network_order"


@transaction.atomic
def settle(*, order_id: int, now: datetime) -> int:
    """Post what of an order is not in the ledger yet; how many transfers that took. May run twice, and at once."""
    order = UBCOrder.objects.select_related("network__source").get(pk=order_id)
    organisation_id = _organisation_of(order)
    OrderSettlement.objects.get_or_create(order=order, defaults={"organisation_id": organisation_id, "settled_at": now})
    row = OrderSettlement.objects.select_for_update().get(order=order)
    order.refresh_from_db()
    wanted = _figures(order)
    legs = [leg for name, paise in wanted.items() if (leg := _leg(order, name, paise - getattr(row, name)))]
    if legs:
        ledger.post(
            entry_key=f"ubc:{order.pk}:{row.postings + 1}", legs=legs, occurred_at=now, currency=order.currency,
            about=Dimensions(organisation_id=row.organisation_id, location_id=order.connector.evse.location_id),
        )  # fmt: skip
        row.postings += 1
    for name, paise in wanted.items():
        setattr(row, name, paise)
    row.settled_at = now
    row.save()
    return len(legs)


def unsettled(*, limit: int) -> list[int]:
    """Orders whose figures moved on since they were posted; what an event missed."""
    paid = Q(paid_paise__isnull=False, state__in=PAYING)
    rows = UBCOrder.objects.filter(Q(settlement=None) & paid | Q(settlement__isnull=False))
    moved = (
        Q(settlement=None)
        | Q(state__in=PAYING) & ~Q(settlement__paid_paise=Coalesce(F("paid_paise"), 0))
        | ~Q(settlement__value_paise=Coalesce(F("value_paise"), 0))
        | ~Q(settlement__refunded_paise=F("refunded_paise"))
        | Q(state__in=(State.CANCELLED, State.REJECTED), refunded_paise=0, settlement__paid_paise__gt=0)
    )
    return list(rows.filter(moved).order_by("pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def carried(*, order_id: int, now: datetime) -> None:
    """Fees of a confirmed order that pay for earlier ones: those nobody knows, or of another sum, go to finance."""
    settle(order_id=order_id, now=now)
    for carry in UBCCarry.objects.filter(charged_in_id=order_id).select_related("earlier", "charged_in"):
        if carry.earlier is not None:
            settle(order_id=carry.earlier.pk, now=now)
        if carry.earlier is None or carry.earlier.balance_paise < 0:
            _ask(carry, now)


def prepaid_paise(source_slug: str) -> int:
    """What a CPO still owes us (above 0) or we it (below 0) from orders that are over or paid."""
    return ledger.balance_paise(f"cpo_prepaid:{source_slug}")


def _figures(order: UBCOrder) -> dict[str, int]:
    """As they should stand in the ledger. An order that came to nothing was not paid either."""
    is_paid = order.state in PAYING and order.paid_paise is not None
    fees = order.carries.aggregate(total=Sum("amount_paise"))["total"] or 0
    return {
        "paid_paise": (order.paid_paise or 0) if is_paid or order.refunded_paise else 0,
        "value_paise": order.value_paise or 0,
        "refunded_paise": order.refunded_paise,
        "carried_paise": fees if is_paid else 0,
    }


def _leg(order: UBCOrder, name: str, paise: int) -> Leg | None:
    """One movement, or its reverse when a figure went down; None when nothing moved."""
    slug = order.network.source.slug
    prepaid, payable, clearing = f"cpo_prepaid:{slug}", f"cpo_payable:{slug}", f"ubc_clearing:{slug}"
    debit, credit = {
        "paid_paise": (prepaid, clearing),
        "value_paise": (payable, prepaid),
        "refunded_paise": (clearing, prepaid),
        "carried_paise": (prepaid, payable),
    }[name]
    if paise == 0:
        return None
    if paise < 0:
        debit, credit = credit, debit
    memo = f"UBC {order.order_id or order.transaction_id}: {name.removesuffix('_paise')}"
    return Leg(debit, credit, abs(paise), KIND, memo[:200])


def _organisation_of(order: UBCOrder) -> int | None:
    token = IdToken.objects.filter(uid__lower=order.id_token.lower()).first() if order.id_token else None
    return token.organisation_id if token else None


def _ask(carry: UBCCarry, now: datetime) -> None:
    organisation_id = _organisation_of(carry.charged_in)
    if organisation_id is None:
        return
    title = (
        "A network asks for a balance of an order that we do not know"
        if carry.earlier is None
        else "A network asks for more than an earlier order left open"
    )
    open_exception(
        organisation_id=organisation_id, kind=BillingException.Kind.CPO_BALANCE, reference=f"carry:{carry.pk}",
        title=title, amount_paise=carry.amount_paise, at=now,
        details={"order": carry.charged_in.order_id, "named_order": carry.named_order_id, "fee": carry.description},
    )  # fmt: skip
