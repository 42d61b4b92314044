"""Subscribers: one thought each, no logic."""

from billing import tasks
from billing.events import SessionEnded
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe


@subscribe(SessionEnded)
def price_the_session(event: SessionEnded) -> None:
    hints.start(tasks.rate_session, event.session_id)


@subscribe(SessionEnded)
def look_at_the_evidence(event: SessionEnded) -> None:
    hints.start(tasks.reconcile, event.session_id)
