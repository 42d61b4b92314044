"""Triggers of the payment work; the rows themselves say what is to do, so each of these may run twice or not at all."""

from collections.abc import Callable
from datetime import datetime

from celery import shared_task
from django.utils import timezone

from billing.gateways.choice import gateway
from billing.payments import auto_top_up, inbox, intents, mandates, receivers, refunds, settlements, strangers
from fleetcharge.lib import hints
from fleetcharge.lib.sweeps import survived

CHUNK = 50


@shared_task
def work_inbox() -> int:
    """Until nothing waits; returns how many webhooks were handled."""
    handled = 0
    while taken := inbox.work(now=timezone.now()):
        handled += taken
    return handled


def hint_inbox() -> None:
    hints.start(work_inbox)


@shared_task
def work_intent(intent_id: int) -> None:
    intents.work(intent_id=intent_id, now=timezone.now(), gateway=gateway())


@shared_task
def sweep_payments() -> None:
    """Everything at the gateway whose time has come: top-ups, debits, codes, accounts, mandates, refunds, strangers."""
    now = timezone.now()
    _each("intent", intents.due, lambda pk: intents.work(intent_id=pk, now=timezone.now(), gateway=gateway()), now)
    _each("refund", refunds.due, lambda pk: refunds.work(refund_id=pk, now=timezone.now(), gateway=gateway()), now)
    _each(
        "receiver", receivers.due,
        lambda pk: receivers.work(receiver_id=pk, now=timezone.now(), gateway=gateway()), now,
    )  # fmt: skip
    _each("mandate", mandates.due, lambda pk: mandates.work(mandate_id=pk, now=timezone.now(), gateway=gateway()), now)
    _each(
        "payment", strangers.due, lambda pk: strangers.work(payment_pk=pk, now=timezone.now(), gateway=gateway()), now
    )


@shared_task
def sweep_auto_top_ups() -> None:
    _each("auto top-up", auto_top_up.due, lambda pk: auto_top_up.work(organisation_id=pk, now=timezone.now()))


@shared_task
def import_settlements() -> int:
    """The last days' settlements and what we make of them; returns how many rows are new."""
    return settlements.import_recent(now=timezone.now(), gateway=gateway())


def _each(what: str, due: Callable[..., list[int]], work: Callable[[int], object], now: datetime | None = None) -> None:
    for pk in due(now=now or timezone.now(), limit=CHUNK):
        with survived(what, pk):
            work(pk)
