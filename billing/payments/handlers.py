"""Subscribers of the payment organ: one thought each, no logic."""

from billing.events import PaymentWorkWaiting
from billing.payments import tasks
from fleetcharge.lib import hints
from fleetcharge.lib.events import subscribe


@subscribe(PaymentWorkWaiting)
def take_it_to_the_gateway(event: PaymentWorkWaiting) -> None:
    hints.start(tasks.work_on, event.kind, event.row_id)
