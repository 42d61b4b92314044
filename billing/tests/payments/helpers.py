"""Short words for what happens in the payment tests."""

from datetime import datetime

from billing.gateways import choice
from billing.gateways.emulator.webhooks import Delivery, Mischief, delivery, in_disorder
from billing.models import LedgerTransfer, Wallet
from billing.payments import inbox
from billing.payments.inbox import Letter
from billing.services import verification
from billing.tests.payments.conftest import NOON, World

IN_ORDER = Mischief()
STORM = Mischief(seed=7, copies=10, is_shuffled=True)


def webhooks(world: World, mischief: Mischief = IN_ORDER) -> list[Delivery]:
    """Everything the gateway has to tell, as it would arrive."""
    with world.bank.lock:
        events, world.bank.events = world.bank.events, []
    (secret,) = choice.webhook_secrets()
    return in_disorder([delivery(event, secret) for event in events], mischief)


def hear(world: World, mischief: Mischief = IN_ORDER, *, now: datetime = NOON) -> int:
    """Take the webhooks in and handle them; how many rows of the inbox were worked on."""
    inbox.keep([Letter(each.event_id, each.raw, now) for each in webhooks(world, mischief)])
    handled = 0
    while taken := inbox.work(now=now):
        handled += taken
    return handled


def posted(organisation) -> int:
    return Wallet.objects.get(organisation=organisation).posted_paise


def top_ups(organisation) -> list[int]:
    rows = LedgerTransfer.objects.filter(organisation=organisation, kind="top_up").order_by("pk")
    return list(rows.values_list("amount_paise", flat=True))


def books_are_right() -> bool:
    return verification.differences() == {}
