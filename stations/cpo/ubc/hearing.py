"""What BPPs say of orders: callbacks that come late, twice or in any order move an order only forward."""

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from stations.cpo.ubc import catalogue, money, sessions, states, wire
from stations.cpo.ubc.models import UBCMessage, UBCOrder
from stations.cpo.ubc.orders import become, go_on
from stations.models import Connector
from stations.services.shared import unit_now
from stations.services.statuses import report_from_source

SESSION_WORDS = {"ACTIVE": "CHARGING", "INTERRUPTED": "FINISHING"}
State = UBCOrder.State


@transaction.atomic
def apply_callback(*, message_id: int, envelope: wire.Envelope, now: datetime) -> tuple[str, int | None]:
    """One stored callback into its order, once only: ("" or why it changed nothing, the order's primary key)."""
    message = UBCMessage.objects.select_for_update(of=("self",)).get(pk=message_id)
    order = _order_of(message)
    if message.applied_at is not None:
        return "", None
    result = _apply(order, message, envelope, now) if order else "unknown_order"
    message.applied_at, message.result = now, result[:40]
    message.save(update_fields=["applied_at", "result"])
    return result, order.pk if order else None


def _apply(order: UBCOrder, message: UBCMessage, envelope: wire.Envelope, now: datetime) -> str:
    if order.bpp_id.lower() != message.subscriber_id.lower():
        return "not_the_seller"
    if message.action in {"on_rating", "on_support"}:
        return _take_word(order, message.action, envelope.message)
    body: wire.Order = envelope.message.order
    if order.order_id and body.id and body.id != order.order_id and message.action != "on_init":
        return "another_order"
    _hear(order, message, body, envelope.error, now)
    order.save()
    return ""


def _order_of(message: UBCMessage) -> UBCOrder | None:
    try:
        transaction_id = uuid.UUID(message.transaction_id)
    except ValueError:
        return None
    rows = UBCOrder.objects.select_for_update(of=("self",)).select_related("network__source", "connector")
    return rows.filter(network_id=message.network_id, transaction_id=transaction_id).first()


def _take_word(order: UBCOrder, action: str, body: Any) -> str:
    if action == "on_rating":
        order.is_rated = order.is_rated or bool(body.received)
    else:
        order.support_status = str(body.feedback.get("supportStatus") or order.support_status)[:20]
        order.support = {**order.support, **body.support, "comments": body.feedback.get("comments", "")}
    if order.awaited == action:
        order.awaited = ""
    order.save()
    return ""


def _hear(order: UBCOrder, message: UBCMessage, body: wire.Order, error: wire.Error | None, now: datetime) -> None:
    problem = error.text if error else ""
    if message.action == "on_init" and order.state == State.QUOTED and money.is_dearer(order, body):
        problem = "the terms ask for more than the quote"
    session = body.fulfillment.delivery.session_status if body.fulfillment and body.fulfillment.delivery else ""
    meant = _meant(message.action, body.status.upper(), session.upper(), problem)
    is_news = order.heard_at is None or message.at >= order.heard_at
    if is_news:
        order.heard_at = message.at
        _take_facts(order, body, session)
    if problem:
        order.error_code, order.error = str(error.code if error else "")[:20], problem
    before = order.state
    if order.awaited == message.action:
        order.awaited = ""
    money.take(order, body, message.action, meant, now)
    _take_telemetry(order, body)
    become(order, states.advance(order.state, meant), problem or body.status, now)
    if order.state != before:
        order.tries = 0
        order.awaited = "" if order.state in states.OVER else order.awaited
        go_on(order, now)
    elif order.state == State.INITIALISED and order.payment_status == "COMPLETED" and not order.awaited:
        go_on(order, now)
    if order.charging_at is None and order.state in {State.CHARGING, State.COMPLETED}:
        order.charging_at = min(message.at, now) if order.state == State.CHARGING else order.created_at
    if is_news:
        _show_connector(order, body, session.upper(), message.at, now)
    if order.charging_at is not None:
        sessions.keep(order, body, at=message.at, now=now)


def _meant(action: str, order_status: str, session_status: str, problem: str) -> str:
    """An error in an answer to select, init or confirm is a refusal; one to a cancel leaves the order as it is."""
    meant = states.meant_by(action, order_status, session_status)
    if not problem or (order_status and meant in {states.CANCELLED, states.REJECTED}):
        return meant
    if action in {"on_select", "on_init", "on_confirm"}:
        return states.REJECTED
    return "" if action == "on_cancel" else meant


def _take_facts(order: UBCOrder, body: wire.Order, session: str) -> None:
    order.order_status = (body.status or order.order_status)[:20]
    order.session_status = (session or order.session_status)[:20]
    order.order_id = order.order_id or body.id[:120]
    if body.fulfillment:
        order.fulfillment_id = body.fulfillment.id[:120] or order.fulfillment_id
        target = (body.fulfillment.tracking or {}).get("target")
        order.tracking_url = _web(target.get("url") if isinstance(target, dict) else "") or order.tracking_url
    if body.payment:
        order.payment_id = body.payment.id[:120] or order.payment_id
        order.payment_status = (body.payment.status or order.payment_status)[:20]
        order.terms["beneficiary"] = body.payment.beneficiary or "BAP"
    if body.invoice:
        order.invoice_url = _web(body.invoice.attributes.get("invoiceUrl")) or order.invoice_url
    if body.seller:
        order.terms["seller"] = body.seller[:120]


def _web(url: Any) -> str:
    """An address people may click on; nothing else than http(s)."""
    text = str(url or "")
    return text if text.startswith(("https://", "http://")) and len(text) <= 400 else ""


# --- telemetry and status ------------------------------------------------------------------------------------------
def _take_telemetry(order: UBCOrder, body: wire.Order) -> None:
    """By the name of a metric: networks confuse the units of POWER and ENERGY. The newest reading of each counts."""
    delivery = body.fulfillment.delivery if body.fulfillment else None
    for reading in delivery.telemetry if delivery else []:
        try:
            at = wire.instant(reading.at)
        except ValueError:
            continue
        if order.metered_at is None or at >= order.metered_at:
            order.metered_at = at
            for metric in reading.metrics:
                _take_metric(order, metric)


def _take_metric(order: UBCOrder, metric: wire.Metric) -> None:
    value = metric.value
    if value is None or not value.is_finite() or not 0 <= value < 1_000_000:
        return
    if metric.name == "ENERGY":
        order.energy_wh = int(value * 1000)
    elif metric.name == "POWER":
        order.power_w = int(value * 1000) if value < 10_000 else order.power_w
    elif metric.name == "STATE_OF_CHARGE" and value <= 100:
        order.soc_percent = float(value)


def _show_connector(order: UBCOrder, body: wire.Order, session: str, at: datetime, now: datetime) -> None:
    """What an order says of its connector is the freshest word; when it is over, the catalogue's holds again."""
    delivery = body.fulfillment.delivery if body.fulfillment else None
    word = (delivery.connector_status if delivery else "") or SESSION_WORDS.get(session, "")
    evse_id = unit_now(order.connector.evse_id)
    if order.state in states.OVER:
        is_ours = Connector.objects.filter(evse_id=evse_id, reported_status__in=("charging", "occupied")).exists()
        word = "ACTIVE" if is_ours else ""
    if word:
        report_from_source(
            evse_id=evse_id, raw_status=word[:30], status=catalogue.known_status(word), at=min(at, now),
            received_at=now, source_id=order.network.source_id,
        )  # fmt: skip
