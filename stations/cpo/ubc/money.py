"""What a UBC order costs, gives back, or pays for an earlier one. Amounts are paise; called with the order locked."""

import re
import uuid
from datetime import datetime
from typing import Any

import orjson
from django.db.models import F

from fleetcharge.lib.events import publish
from stations.cpo.ubc import states, wire
from stations.cpo.ubc.models import UBCCarry, UBCOrder
from stations.events import NetworkOrderSettled, UnpaidBalanceCarried

_NAMED_ORDER = re.compile(r"\bOrder(?:\s*id)?\s*[:#]\s*([^,\s)]+)", re.IGNORECASE)
_NAMED_TRANSACTION = re.compile(r"\bTxn\s*:?\s*([0-9a-f]{8}-[0-9a-f-]{27})", re.IGNORECASE)
_CARRIED = re.compile(r"outstanding|carried forward|unpaid|previous (?:overcharge|session|balance)", re.IGNORECASE)


def take(order: UBCOrder, body: wire.Order, action: str, meant: str, now: datetime) -> None:
    """The value counts, not the sum of its lines: a refund line of an undercharge is no part of it."""
    value = wire.paise(body.value.value) if body.value else None
    before = (order.value_paise, order.refunded_paise)
    if action == "on_select" and body.value is not None and order.paid_paise is None:
        order.quoted_paise, order.currency = value, body.value.currency[:3]
        order.terms["value"] = _plain(body.value)
        _find_carries(order, body.value, now)
    if meant == states.COMPLETED and value is not None:
        order.value_paise = value
    if meant == states.CANCELLED and order.paid_paise is not None and order.value_paise is None:
        order.value_paise = 0
    if body.payment and body.payment.status.upper() == "REFUNDED" and body.payment.amount:
        order.refunded_paise = wire.paise(body.payment.amount.value) or 0
    if order.paid_paise is None or order.value_paise is None:
        return
    if before != (order.value_paise, order.refunded_paise):
        publish(NetworkOrderSettled(
            order.pk, str(order.transaction_id), order.id_token, order.currency, order.paid_paise, order.value_paise,
            order.refunded_paise, order.balance_paise, now,
        ))  # fmt: skip


def _plain(value: wire.Wire) -> Any:
    """As it was sent, with numbers that a JSON column keeps."""
    return orjson.loads(wire.dump(value.as_sent()))


def _find_carries(order: UBCOrder, value: wire.OrderValue, now: datetime) -> None:
    """Fees of this quote that are an earlier order's unpaid balance."""
    order.carries.all().delete()
    for part in value.components:
        if part.type.upper() == "FEE" and part.value > 0 and _CARRIED.search(part.description):
            _carry(order, part, now)


def _carry(order: UBCOrder, part: wire.Component, now: datetime) -> None:
    amount = wire.paise(part.value) or 0
    named = _NAMED_ORDER.search(part.description)
    UBCCarry.objects.get_or_create(
        charged_in=order, named_order_id=named[1][:120] if named else "", amount_paise=amount,
        defaults={
            "earlier": _earlier(order, part.description, named[1] if named else "", amount),
            "description": part.description[:255], "created_at": now,
        },
    )  # fmt: skip


def _earlier(order: UBCOrder, description: str, named_order: str, amount: int) -> UBCOrder | None:
    """By the transaction the fee names, else by the order, else the only one that owes exactly this much."""
    others = UBCOrder.objects.filter(network=order.network, bpp_id__iexact=order.bpp_id).exclude(pk=order.pk)
    if named := _NAMED_TRANSACTION.search(description):
        return others.filter(transaction_id=named[1]).first() if _is_uuid(named[1]) else None
    if named_order:
        return others.filter(order_id=named_order).first()
    owing = [
        row
        for row in others.filter(state=UBCOrder.State.COMPLETED, value_paise__isnull=False)
        if row.balance_paise == amount
    ]
    return owing[0] if len(owing) == 1 else None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def tell_carries(order: UBCOrder, now: datetime) -> None:
    """The order is confirmed, and with it the earlier ones whose unpaid balances are fees of it are paid."""
    for carry in order.carries.select_related("earlier"):
        expected = carry.earlier.balance_paise if carry.earlier else None
        if carry.earlier:
            paid = F("carried_paise") + carry.amount_paise
            UBCOrder.objects.filter(pk=carry.earlier.pk).update(carried_paise=paid)
        publish(UnpaidBalanceCarried(
            order.pk, carry.earlier_id, carry.named_order_id, carry.amount_paise, expected, now
        ))  # fmt: skip


def is_dearer(order: UBCOrder, body: wire.Order) -> bool:
    """The terms ask for more than the quote that we agreed to."""
    value = wire.paise(body.value.value) if body.value else None
    return value is not None and order.quoted_paise is not None and value > order.quoted_paise
