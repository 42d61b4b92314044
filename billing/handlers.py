"""Subscribers: one thought each, no logic."""

from django.utils import timezone

from billing import tasks
from billing.events import CDRCaptured, DocumentIssued, PaymentReturned, SessionEnded, SessionMetered
from billing.invoicing import tasks as invoicing
from billing.vehicle_charges import tell_vehicles
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe, subscribe_many
from stations.events import (
    CDRConflictFound,
    NetworkOrderChanged,
    NetworkOrderSettled,
    RoamingCDRReceived,
    RoamingSessionChanged,
    UnpaidBalanceCarried,
)


@subscribe(SessionEnded)
def price_the_session(event: SessionEnded) -> None:
    hints.start(tasks.rate_session, event.session_id)


@subscribe(SessionEnded)
def look_at_the_evidence(event: SessionEnded) -> None:
    hints.start(tasks.reconcile, event.session_id)


@subscribe_many(SessionMetered)
def tell_vehicles_their_charge(events: tuple[SessionMetered, ...]) -> None:
    """What is lost, the next reading of the same session brings."""
    tell_vehicles({reading[0] for event in events for reading in event.readings}, now=timezone.now())


@subscribe(SessionEnded)
def tell_a_vehicle_its_charge(event: SessionEnded) -> None:
    if event.vehicle_id is not None:
        tell_vehicles([event.session_id], now=timezone.now())


@subscribe(RoamingSessionChanged)
def follow_a_session_elsewhere(event: RoamingSessionChanged) -> None:
    hints.start(tasks.follow_session, event.roaming_session_id)


@subscribe(RoamingCDRReceived)
def book_what_a_network_says(event: RoamingCDRReceived) -> None:
    hints.start(tasks.take_roaming_cdr, event.roaming_cdr_id)


@subscribe(CDRConflictFound)
def ask_about_two_records(event: CDRConflictFound) -> None:
    hints.start(tasks.ask_about_conflict, event.conflict_id)


@subscribe_many(CDRCaptured)
def compare_with_the_network(events: tuple[CDRCaptured, ...]) -> None:
    if of_networks := [event.cdr_id for event in events if event.is_of_a_network]:
        hints.start(tasks.compare_prices, of_networks)


@subscribe(NetworkOrderChanged)
def post_what_an_order_moved(event: NetworkOrderChanged) -> None:
    hints.start(tasks.settle_order, event.order_id)


@subscribe(NetworkOrderSettled)
def post_what_an_order_cost(event: NetworkOrderSettled) -> None:
    hints.start(tasks.settle_order, event.order_id)


@subscribe(UnpaidBalanceCarried)
def post_what_was_carried_forward(event: UnpaidBalanceCarried) -> None:
    hints.start(tasks.settle_carried, event.order_id)


@subscribe(DocumentIssued)
def bring_the_document_on_its_way(event: DocumentIssued) -> None:
    hints.start(invoicing.deliver_document, event.document_id)


@subscribe(PaymentReturned)
def confirm_what_went_back(event: PaymentReturned) -> None:
    hints.start(invoicing.work_vouchers)
