"""What a webhook says, by the objects in it and not by its name: so any order, and any new event, ends the same."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from billing.gateways.base import Entity
from billing.payments import applying, disputes, mandate_news, receivers, refunds

RECEIVERS = ("qr_code", "virtual_account")


def take(body: Mapping[str, Any], *, now: datetime) -> bool:
    """Apply it in the caller's transaction, without asking the gateway; False when there is nothing for us in it.

    Raises applying.UnreadableNews.
    """
    payload = body.get("payload")
    parts: dict[str, Any] = payload if isinstance(payload, dict) else {}
    entities = {kind: found for kind in parts if (found := _entity(parts, kind))}
    is_ours = False
    for kind in RECEIVERS:
        if kind in entities:
            is_ours |= _receiver(entities[kind], now)
    if "payment" in entities:
        applying.apply_payment(entity=entities["payment"], now=now, receiver=_receiver_id(entities))
        is_ours = True
    if "refund" in entities:
        is_ours |= refunds.apply_refund(entity=entities["refund"], now=now)
    if "dispute" in entities:
        is_ours |= disputes.apply_dispute(entity=entities["dispute"], now=now)
    if "token" in entities:
        is_ours |= mandate_news.apply_token(entity=entities["token"], said_at=_said_at(body, now), now=now)
    return is_ours


def _entity(payload: Mapping[str, Any], kind: str) -> Entity | None:
    wrapped = payload[kind]
    entity = wrapped.get("entity") if isinstance(wrapped, dict) else None
    return entity if isinstance(entity, dict) else None


def _receiver_id(entities: Mapping[str, Entity]) -> str:
    return next((str(entities[kind].get("id") or "") for kind in RECEIVERS if kind in entities), "")


def _receiver(entity: Entity, now: datetime) -> bool:
    if entity.get("status") == "closed":
        receivers.closed(gateway_id=str(entity.get("id") or ""), now=now)
    return True


def _said_at(body: Mapping[str, Any], now: datetime) -> datetime:
    value = body.get("created_at")
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 33
    return min(now, datetime.fromtimestamp(value, UTC)) if is_time and isinstance(value, int) else now
