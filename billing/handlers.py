"""Subscribers: one thought each, no logic."""

from billing import tasks
from billing.events import CDRCaptured, SessionEnded
from fleetcharge.lib.events import subscribe
from stations.events import CDRConflictFound, RoamingCDRReceived, RoamingSessionChanged


@subscribe(SessionEnded)
def price_the_session(event: SessionEnded) -> None:
    tasks.rate_session.delay(event.session_id)


@subscribe(SessionEnded)
def look_at_the_evidence(event: SessionEnded) -> None:
    tasks.reconcile.delay(event.session_id)


@subscribe(RoamingSessionChanged)
def follow_a_session_elsewhere(event: RoamingSessionChanged) -> None:
    tasks.follow_session.delay(event.roaming_session_id)


@subscribe(RoamingCDRReceived)
def book_what_a_network_says(event: RoamingCDRReceived) -> None:
    tasks.take_roaming_cdr.delay(event.roaming_cdr_id)


@subscribe(CDRConflictFound)
def ask_about_two_records(event: CDRConflictFound) -> None:
    tasks.ask_about_conflict.delay(event.conflict_id)


@subscribe(CDRCaptured)
def compare_with_the_network(event: CDRCaptured) -> None:
    tasks.compare_price.delay(event.cdr_id)
