"""Every write to UBC orders that we want ourselves: opened, sent, started, stopped, given back, given up."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from fleetcharge.lib.events import publish
from stations.cpo.ubc import money, states
from stations.cpo.ubc.models import UBCItem, UBCOrder
from stations.events import NetworkOrderChanged, ReservationAnswered

ANSWER_WITHIN = timedelta(seconds=30)
TRIES = 3
State = UBCOrder.State


# --- what we want ---------------------------------------------------------------------------------------------------
def open_order(
    *, connector_id: int, now: datetime, expires_at: datetime, id_token: str, reservation_key: str = "",
    start_key: str = "", is_for_now: bool = False, quantity_kwh: Any = None,
) -> UBCOrder:  # fmt: skip
    """A new order with its select to be sent; the same key again is the same order. Raises UBCItem.DoesNotExist."""
    item = UBCItem.objects.select_related("network").get(connector_id=connector_id)
    offer: dict[str, Any] = next(iter(item.offers), {})
    try:
        with transaction.atomic():
            return UBCOrder.objects.create(
                network=item.network, connector_id=connector_id, transaction_id=uuid.uuid4(),
                reservation_key=reservation_key, start_key=start_key, id_token=id_token[:36], item_id=item.item_id,
                bpp_id=item.bpp_id, bpp_uri=item.bpp_uri, provider_id=item.provider_id, offer=offer,
                quantity_kwh=quantity_kwh or item.network.order_kwh, starts_at=now, expires_at=expires_at,
                created_at=now, next_action="select", next_at=now, wants_start=is_for_now,
            )  # fmt: skip
    except IntegrityError:
        same = Q(reservation_key=reservation_key) if reservation_key else Q(start_key=start_key)
        return UBCOrder.objects.get(same)


@transaction.atomic
def want_start(*, order_id: int, now: datetime) -> bool:
    """Charging shall begin: at once when the order is confirmed, else as soon as it is. False when it is over."""
    order = _locked(order_id)
    if order.state in states.OVER or order.state == State.CHARGING:
        return order.state == State.CHARGING
    order.wants_start, order.wants_cancel = True, False
    go_on(order, now)
    order.save()
    return True


@transaction.atomic
def want_stop(*, order_id: int, now: datetime) -> bool:
    """Charging shall end; False when none is going on. A start that is not answered yet is taken back."""
    order = _locked(order_id)
    order.wants_start = False
    if order.state == State.CHARGING and order.awaited != "on_update":
        _next(order, "stop", now)
    is_running = order.state == State.CHARGING
    order.save()
    return is_running


@transaction.atomic
def want_cancel(*, order_id: int, now: datetime) -> str:
    """The promise is given back: "cancelled" at once, "pending" when the BPP must be told, "rejected" when it is late.

    UBC lets an order be cancelled only while its session is pending.
    """
    order = _locked(order_id)
    if order.state == State.CHARGING or order.state == State.COMPLETED:
        return "rejected"
    if order.state in states.OVER:
        return "cancelled"
    order.wants_cancel, order.wants_start = True, False
    go_on(order, now)
    order.save()
    return "cancelled" if order.state == State.CANCELLED else "pending"


@transaction.atomic
def want_news(*, order_id: int, action: str, now: datetime) -> bool:
    """Ask for `status` or `track`, unless something else is under way."""
    order = _locked(order_id)
    if order.next_action or order.awaited or not order.order_id:
        return False
    _next(order, action, now)
    order.save()
    return True


def _locked(order_id: int) -> UBCOrder:
    return UBCOrder.objects.select_for_update(of=("self",)).select_related("network__source").get(pk=order_id)


def _next(order: UBCOrder, action: str, now: datetime) -> None:
    order.next_action, order.next_at, order.tries = action, now, 0


def go_on(order: UBCOrder, now: datetime) -> None:
    """What follows from where the order stands and what we want."""
    if order.wants_cancel:
        _give_back(order, now)
    elif order.state == State.QUOTED:
        _next(order, "init", now)
    elif order.state == State.INITIALISED and _is_payable(order):
        _next(order, "confirm", now)
    elif order.state == State.CONFIRMED and order.wants_start and order.awaited != "on_update":
        _next(order, "start", now)


def _is_payable(order: UBCOrder) -> bool:
    """We collect from the fleet's wallet; a BPP that insists on being paid itself says when it was."""
    return order.terms.get("beneficiary", "BAP") == "BAP" or order.payment_status == "COMPLETED"


def _give_back(order: UBCOrder, now: datetime) -> None:
    """Before it is confirmed there is nothing to cancel; while our confirm is under way we wait for its answer."""
    if order.state == State.CONFIRMED:
        _next(order, "cancel", now)
    elif order.state in {State.SELECTING, State.QUOTED, State.INITIALISED} and order.awaited != "on_confirm":
        order.next_action, order.awaited = "", ""
        become(order, State.CANCELLED, "given back", now)


# --- sending --------------------------------------------------------------------------------------------------------
@transaction.atomic
def claim(*, order_id: int, now: datetime) -> tuple[UBCOrder, str] | None:
    """Take the next message of an order to send it; None when somebody else has. The answer is awaited from now on."""
    order = _locked(order_id)
    action = order.next_action
    if not action or (order.next_at and order.next_at > now):
        return None
    order.next_action, order.next_at, order.tries = "", now, order.tries + 1
    name = "update" if action in {"start", "stop"} else action
    order.awaited, order.answer_due_at = f"on_{name}", now + ANSWER_WITHIN
    if action == "confirm":
        order.paid_paise = order.quoted_paise
    order.save()
    return order, action


@transaction.atomic
def sending_failed(*, order_id: int, action: str, code: str, error: str, is_final: bool, now: datetime) -> None:
    """A message did not get through: sent again later, or given up; what the BPP said meanwhile is worth more."""
    order = _locked(order_id)
    if not order.awaited or order.next_action:
        return
    order.awaited, order.error_code, order.error = "", code[:20], error[:255]
    if not is_final and order.tries < TRIES:
        order.next_action, order.next_at = action, now + timedelta(seconds=5 * 2**order.tries)
    elif action in {"select", "init", "confirm"}:
        become(order, State.REJECTED if is_final else State.FAILED, error or code, now)
    order.save()


@transaction.atomic
def answer_overdue(*, order_id: int, now: datetime) -> None:
    """No callback in time. A confirm is asked about once; a stop or a cancel is told again; the rest is given up."""
    order = _locked(order_id)
    if not order.awaited or order.answer_due_at is None or order.answer_due_at > now:
        return
    awaited, order.awaited, order.error_code = order.awaited, "", "timed_out"
    order.error = f"no {awaited} in time"
    if awaited == "on_confirm" and order.order_id:
        _next(order, "status", now)
    elif order.state in {State.SELECTING, State.QUOTED, State.INITIALISED}:
        become(order, State.FAILED, order.error, now)
    elif order.tries < TRIES and (order.wants_cancel or awaited == "on_update") and not order.next_action:
        _say_again(order, now)
    order.save()


def _say_again(order: UBCOrder, now: datetime) -> None:
    again = "cancel" if order.wants_cancel else "start" if order.state == State.CONFIRMED else "stop"
    if again == "start" and not order.wants_start:
        return
    order.next_action, order.next_at = again, now


# --- where it stands -------------------------------------------------------------------------------------------------
ENDS = {State.REJECTED: "rejected", State.CANCELLED: "cancelled", State.FAILED: "timed_out"}
UNPROMISED = {State.SELECTING, State.QUOTED, State.INITIALISED, State.FAILED}


def become(order: UBCOrder, state: str, reason: str, now: datetime) -> None:
    """The order's new state, told to everybody; a promise that it carries is kept, refused or lost with it."""
    old, order.state = State(order.state), State(state)
    if old == order.state:
        return
    if order.state in states.OVER:
        order.closed_at, order.next_action = now, ""
    if order.state == State.FAILED and not order.reservation_key:
        order.wants_start, order.wants_cancel = False, True  # should it come true after all, it is given back
    publish(NetworkOrderChanged(
        order.pk, order.connector_id, str(order.transaction_id), order.reservation_key, order.id_token, old,
        order.state, now, reason[:120],
    ))  # fmt: skip
    is_kept = old in UNPROMISED and order.state in {State.CONFIRMED, State.CHARGING, State.COMPLETED}
    if is_kept:
        money.tell_carries(order, now)
    answer = "accepted" if is_kept else ENDS.get(order.state, "")
    if order.reservation_key and answer:
        was_promised = old not in UNPROMISED
        answer = "cancelled" if was_promised else answer
        publish(ReservationAnswered(order.reservation_key, answer, reason[:120], now))
