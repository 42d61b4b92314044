"""An order that charges is a session, and one that is completed a CDR, in the rows every roaming network shares."""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db import IntegrityError, transaction

from fleetcharge.lib.events import publish
from stations.cpo.ocpi.models import RoamingCDR, RoamingSession
from stations.cpo.ubc import wire
from stations.cpo.ubc.models import UBCOrder
from stations.events import RoamingCDRReceived, RoamingSessionChanged

COUNTRY, PARTY = "IN", "UBC"
State = UBCOrder.State


def keep(order: UBCOrder, body: wire.Order, *, at: datetime, now: datetime) -> None:
    """The session as this message leaves it, and the CDR once there is a final value. With the order locked."""
    energy_wh = order.energy_wh if order.energy_wh is not None else 0
    is_over = order.state == State.COMPLETED
    if is_over:
        energy_wh = max(energy_wh, paid_energy_wh(order, body))
    facts = _facts(order, body, energy_wh, at)
    _keep_session(order, facts, "COMPLETED" if is_over else "ACTIVE", at, now)
    if is_over and order.value_paise is not None:
        _keep_cdr(order, body, facts, at, now)


def paid_energy_wh(order: UBCOrder, body: wire.Order) -> int:
    """What the units were charged for, when a session was never tracked: their value by the price of the offer."""
    price = order.offer.get("beckn:price") or order.offer.get("price") or {}
    per_kwh = Decimal(str(price.get("value") or 0))
    units = (
        sum((part.value for part in body.value.components if part.type.upper() == "UNIT"), Decimal(0))
        if body.value
        else 0
    )
    model = (order.offer.get("beckn:offerAttributes") or order.offer.get("offerAttributes") or {}).get("tariffModel")
    if per_kwh <= 0 or model not in {None, "PER_KWH"}:
        return 0
    return round(units / per_kwh * 1000)


def _facts(order: UBCOrder, body: wire.Order, energy_wh: int, at: datetime) -> dict[str, Any]:
    raw = orjson.loads(wire.dump(body.as_sent()))
    is_over = order.state == State.COMPLETED
    value = Decimal(order.value_paise) / 100 if is_over and order.value_paise is not None else None
    return {
        "country_code": COUNTRY, "party_id": PARTY, "connector_id": order.connector_id,
        "connector_ref": order.item_id[:48], "token_uid": order.id_token, "auth_method": "COMMAND",
        "authorization_reference": order.start_key or order.reservation_key, "started_at": order.charging_at,
        "ended_at": at if is_over else None, "energy_wh": energy_wh, "currency": order.currency,
        "total_after_taxes": value, "raw": raw,
        "content_hash": hashlib.sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "source_updated_at": at,
    }  # fmt: skip


def _key(order: UBCOrder) -> str:
    """country*party*id, as every roaming session is named."""
    return f"{COUNTRY}*{PARTY}*{order.transaction_id}"


def _keep_session(order: UBCOrder, facts: dict[str, Any], status: str, at: datetime, now: datetime) -> None:
    """Older news than what stands there changes nothing."""
    source, key = order.network.source, _key(order)
    held = RoamingSession.objects.select_for_update().filter(source=source, key__lower=key.lower()).first()
    if held is not None and (held.source_updated_at > at or held.status == "COMPLETED"):
        return
    row = held or RoamingSession(source=source, key=key, created_at=now)
    old, row.status, row.updated_at = row.status, status, now
    for name, value in facts.items():
        setattr(row, name, value)
    row.periods = [_reading(order)] if order.metered_at else []
    row.save()
    publish(RoamingSessionChanged(row.pk, row.source_id, old, status, now))


def _reading(order: UBCOrder) -> dict[str, Any]:
    """The newest telemetry as OCPI writes it: kW and percent."""
    known = {"POWER": None if order.power_w is None else order.power_w / 1000, "STATE_OF_CHARGE": order.soc_percent}
    dimensions = [{"type": name, "volume": value} for name, value in known.items() if value is not None]
    started_at = order.metered_at.isoformat() if order.metered_at else ""
    return {"start_date_time": started_at, "dimensions": dimensions}


def _keep_cdr(order: UBCOrder, body: wire.Order, facts: dict[str, Any], at: datetime, now: datetime) -> None:
    """Once: a CDR never changes; a refund or a carried balance is told by the order's own events."""
    costs = [{"type": part.type, "value": str(part.value), "description": part.description} for part in _parts(body)]
    try:
        with transaction.atomic():
            row = RoamingCDR.objects.create(
                source=order.network.source, key=_key(order), session_ref=str(order.transaction_id),
                total_seconds=max(0, int((at - facts["started_at"]).total_seconds())), costs={"components": costs},
                received_at=now, **facts,
            )  # fmt: skip
    except IntegrityError:
        return
    publish(RoamingCDRReceived(row.pk, row.source_id, False, now))


def _parts(body: wire.Order) -> list[wire.Component]:
    return body.value.components if body.value else []
