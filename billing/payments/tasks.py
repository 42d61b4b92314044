"""Triggers of the payment work; the rows themselves say what is to do, so each of these may run twice or not at all."""

import functools
from collections.abc import Callable
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from billing.gateways.choice import gateway
from billing.payments import auto_top_up, inbox, intents, mandates, receivers, refunds, settlements, strangers, watching
from fleetcharge.lib import hints
from fleetcharge.lib.sweeps import survived

CHUNK = 50
KEEP_WEBHOOKS = timedelta(days=730)


@shared_task
def work_inbox() -> int:
    """Until nothing waits; returns how many webhooks were handled."""
    handled = 0
    while taken := inbox.work(now=timezone.now()):
        handled += taken
    return handled


@shared_task
def prune_inbox() -> int:
    """Forget webhooks that were handled two years ago; returns how many."""
    return inbox.prune(now=timezone.now(), keep_for=KEEP_WEBHOOKS)


def hint_inbox() -> None:
    hints.start(work_inbox)


def _work(kind: str, row_id: int) -> object:
    now, bank = timezone.now(), gateway()
    if kind == "intent":
        return intents.work(intent_id=row_id, now=now, gateway=bank)
    if kind == "refund":
        return refunds.work(refund_id=row_id, now=now, gateway=bank)
    if kind == "receiver":
        return receivers.work(receiver_id=row_id, now=now, gateway=bank)
    if kind == "mandate":
        return mandates.work(mandate_id=row_id, now=now, gateway=bank)
    return strangers.work(payment_pk=row_id, now=now, gateway=bank)


@shared_task
def work_on(kind: str, row_id: int) -> None:
    """One row, as soon as it is there."""
    _work(kind, row_id)


DUE: dict[str, Callable[..., list[int]]] = {
    "intent": intents.due, "refund": refunds.due, "receiver": receivers.due, "mandate": mandates.due,
    "payment": strangers.due,
}  # fmt: skip


@shared_task
def sweep_payments() -> None:
    """Everything at the gateway whose time has come: top-ups, debits, codes, accounts, mandates, refunds, strangers."""
    for kind, due in DUE.items():
        _each(kind, due, functools.partial(_work, kind))


@shared_task
def sweep_auto_top_ups() -> None:
    _each("auto top-up", auto_top_up.due, lambda pk: auto_top_up.work(organisation_id=pk, now=timezone.now()))


@shared_task
def import_settlements() -> int:
    """The last days' settlements and what we make of them; returns how many rows are new. Whether the gateway answers
    or not, a person is asked about what does not fit."""
    try:
        return settlements.import_recent(now=timezone.now(), gateway=gateway())
    finally:
        watching.look(now=timezone.now())


def _each(what: str, due: Callable[..., list[int]], work: Callable[[int], object]) -> None:
    for pk in due(now=timezone.now(), limit=CHUNK):
        with survived(what, pk):
            work(pk)
