"""UBC 0.9 behind the adapter protocol: a reservation is an order, a start and a stop are updates of it."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from stations.cpo.base import (
    PENDING,
    Capability,
    CommandReceipt,
    CPOError,
    CPOUnavailable,
    PullReport,
    ReserveRequest,
    StartRequest,
    StopRequest,
)
from stations.cpo.ocpi import pacing
from stations.cpo.ubc import flow, orders, states
from stations.cpo.ubc.models import UBCItem, UBCOrder
from stations.models import Connector, Source

CHARGE_WITHIN = timedelta(hours=4)


class UBCAdapter:
    """Every message goes out here or in a task; every answer comes as a callback and becomes an event.

    No PUSH: a callback speaks of one order, and must not make the status of all other connectors look live.
    """

    kind = Source.Kind.UBC_09.value
    capabilities = frozenset({Capability.PULL, Capability.RESERVE, Capability.START_STOP})

    def poll(self, source: Source) -> Iterator[PullReport]:
        """discover -> on_discover, area by area."""
        return flow.poll(source)

    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        """select, init and confirm follow one another; ReservationAnswered tells how it ended."""
        pacing.check_circuit(request.connector.evse.location.source)
        item = _item(request.connector)
        if not item.can_reserve:
            return CommandReceipt("rejected", "The network does not reserve this connector.")
        order = orders.open_order(
            connector_id=request.connector.pk, reservation_key=request.reservation_key, id_token=request.id_token,
            expires_at=request.expires_at, now=timezone.now(),
        )  # fmt: skip
        if order.expires_at < request.expires_at:  # asked again for longer: an order ends when we give it up
            UBCOrder.objects.filter(pk=order.pk, state__in=states.OPEN).update(expires_at=request.expires_at)
        return self._begin(order)

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        """Only while the session is pending (UBC): afterwards it must be stopped."""
        order = UBCOrder.objects.filter(reservation_key=reservation_key).first()
        if order is None:
            return CommandReceipt("accepted", "never ordered")
        state = orders.want_cancel(order_id=order.pk, now=timezone.now())
        flow.step(order.pk)
        words = {"cancelled": CommandReceipt("accepted"), "rejected": CommandReceipt("rejected", "charging already")}
        return words.get(state, PENDING)

    def start(self, request: StartRequest) -> CommandReceipt:
        """Starts what this token has reserved here, or orders it first."""
        now = timezone.now()
        order = _open_order_of(request)
        if order is None:
            pacing.check_circuit(request.connector.evse.location.source)
            _item(request.connector)
            order = orders.open_order(
                connector_id=request.connector.pk, start_key=request.start_key, id_token=request.id_token,
                expires_at=now + CHARGE_WITHIN, is_for_now=True, now=now,
            )  # fmt: skip
            return self._begin(order)
        if not orders.want_start(order_id=order.pk, now=now):
            return CommandReceipt("rejected", f"The order is {order.get_state_display()}.", str(order.transaction_id))
        flow.step(order.pk)
        return CommandReceipt("pending", reference=str(order.transaction_id))

    def stop(self, request: StopRequest) -> CommandReceipt:
        """`transaction_ref` is our transaction id (CommandReceipt.reference of the start)."""
        order = _of_transaction(request)
        if order is None:
            return CommandReceipt("rejected", "UNKNOWN_SESSION")
        if not orders.want_stop(order_id=order.pk, now=timezone.now()):
            is_over = order.state in states.OVER
            return CommandReceipt("accepted" if is_over else "rejected", "It is over." if is_over else "Not charging.")
        flow.step(order.pk)
        return CommandReceipt("pending", reference=str(order.transaction_id))

    def _begin(self, order: UBCOrder) -> CommandReceipt:
        """The first message goes out at once, so that an unreachable network is known at once."""
        if order.state == UBCOrder.State.SELECTING:
            flow.step(order.pk)
            order.refresh_from_db()
        if order.state == UBCOrder.State.SELECTING and order.next_action:
            raise CPOUnavailable(order.error or "The network cannot be reached.")
        ends = {UBCOrder.State.REJECTED: "rejected", UBCOrder.State.FAILED: "failed"}
        if order.state in ends:
            return CommandReceipt(ends[UBCOrder.State(order.state)], order.error, str(order.transaction_id))
        is_there = order.state in {UBCOrder.State.CONFIRMED, UBCOrder.State.CHARGING}
        return CommandReceipt("accepted" if is_there else "pending", reference=str(order.transaction_id))


def _item(connector: Connector) -> UBCItem:
    item = UBCItem.objects.filter(connector=connector).first()
    if item is None:
        raise CPOError("unknown_item", "The network no longer sells this connector.")
    return item


def _open_order_of(request: StartRequest) -> UBCOrder | None:
    """The same start asked again, or what this token holds at this connector."""
    mine = Q(start_key=request.start_key) | Q(
        connector=request.connector, id_token=request.id_token[:36], state__in=states.OPEN, wants_cancel=False
    )
    return UBCOrder.objects.filter(mine).order_by("-pk").first()


def _of_transaction(request: StopRequest) -> UBCOrder | None:
    rows = UBCOrder.objects.filter(connector=request.connector)
    return next((order for order in rows.order_by("-pk") if str(order.transaction_id) == request.transaction_ref), None)
