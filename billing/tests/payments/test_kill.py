"""kill -9 between the gateway's answer and our commit, at every call that moves money: never a second charge."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as django_settings

from billing.gateways.emulator.mandates import set_state
from billing.models import Mandate, PaymentIntent
from billing.payments import debits, intents, mandates, refunds
from billing.tests.payments.conftest import NOON, World
from billing.tests.payments.helpers import books_are_right, hear, posted
from fleetcharge.lib.db import conninfo

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOON + timedelta(minutes=20)

# in a process of its own: the real service and gateway, killed as soon as the named call has been answered
DIES = """
import os, signal, sys
import django
django.setup()
from datetime import datetime
from billing.gateways.choice import gateway
from billing.payments import intents, mandates, refunds

method, work, pk, now = sys.argv[1:]
real = gateway()
call = getattr(real, method)
def and_die(**arguments):
    if os.environ["DIES"] == "after":
        call(**arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(real, method, and_die)
{"intent": lambda: intents.work(intent_id=int(pk), now=datetime.fromisoformat(now), gateway=real),
 "refund": lambda: refunds.work(refund_id=int(pk), now=datetime.fromisoformat(now), gateway=real)}[work]()
print("survived")
"""


def kill_at(method: str, work: str, pk: int, world: World, when: str, now=NOON) -> None:
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings", "DATABASE_URL": conninfo(), "DIES": when,
        "REDIS_URL": django_settings.REDIS_URL, "FLEETCHARGE_PAYMENT_EMULATOR_URL": world.url,
        "FLEETCHARGE_SECRET_KEY": django_settings.SECRET_KEY, "FLEETCHARGE_PAYMENT_GATEWAY": "emulator",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", DIES, method, work, str(pk), now.isoformat()], env=environment, capture_output=True,
        text=True, timeout=240, cwd=django_settings.BASE_DIR,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def until_it_rests(intent: PaymentIntent, world: World) -> PaymentIntent:
    """The sweep, as long as something is due."""
    for step in range(1, 30):
        now = NOON + timedelta(minutes=20 * step)
        if intent.pk in intents.due(now=now, limit=10):
            intent = intents.work(intent_id=intent.pk, now=now, gateway=world.gateway)
    return intent


def confirmed_mandate(organisation, world: World) -> Mandate:
    mandate = mandates.start(
        organisation_id=organisation.pk, kind="upi", max_amount_paise=15_000_00, expires_at=NOON + timedelta(days=700),
        payer_name="Namma", payer_email="pay@namma.example", payer_contact="+919999999999", now=NOON,
    )  # fmt: skip
    mandate = mandates.work(mandate_id=mandate.pk, now=NOON, gateway=world.gateway)
    set_state(world.bank, world.bank.get("invoice", mandate.link_id)["token_id"], "confirmed")
    hear(world)
    mandate.refresh_from_db()
    return mandate


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["create_order", "debit"])
def test_a_debit_killed_around_its_calls_charges_once(world: World, organisation, method: str, when: str) -> None:
    mandate = confirmed_mandate(organisation, world)
    intent = debits.start(mandate_id=mandate.pk, amount_paise=9_000_00, now=NOON)
    kill_at(method, "intent", intent.pk, world, when)
    intent.refresh_from_db()
    assert (intent.state, intent.payment_id) == ("sent", None)  # all we know: it may be there
    assert intents.due(now=NOON, limit=5) == []  # the dead worker's lease
    intent = until_it_rests(intent, world)
    assert len(world.bank.every("order")) == 1
    assert len(world.bank.every("payment")) == 1
    world.bank.advance(seconds=40 * 3600)
    intents.work(intent_id=intent.pk, now=NOON + timedelta(hours=41), gateway=world.gateway)
    hear(world, now=NOON + timedelta(hours=41))
    intent.refresh_from_db()
    assert (intent.state, posted(organisation)) == ("confirmed", 9_000_00)
    assert books_are_right()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_refund_killed_around_its_call_goes_back_once(world: World, organisation, finance, owner, when: str) -> None:
    from billing.gateways.emulator import payments as payer

    intent = intents.start_order(organisation_id=organisation.pk, amount_paise=5_000_00, now=NOON)
    intent = intents.work(intent_id=intent.pk, now=NOON, gateway=world.gateway)
    payer.pay_order(world.bank, intent.order_id)
    hear(world)
    refund = refunds.ask(
        payment_id=intent.payments.get().pk, amount_paise=2_000_00, asked_by=finance, reason="closing", now=NOON
    )
    refunds.approve(refund_id=refund.pk, decided_by=owner, now=NOON)
    kill_at("refund", "refund", refund.pk, world, when)
    for step in range(1, 8):
        refunds.work(refund_id=refund.pk, now=NOON + timedelta(minutes=20 * step), gateway=world.gateway)
    (made,) = world.bank.every("refund")
    payer.finish_refund(world.bank, made["id"])
    hear(world)
    refund.refresh_from_db()
    assert (refund.state, posted(organisation)) == ("confirmed", 3_000_00)
    assert world.bank.every("payment")[0]["amount_refunded"] == 2_000_00
    assert books_are_right()
