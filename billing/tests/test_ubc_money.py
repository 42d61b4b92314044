"""What was paid too much or too little for a UBC order is carried into the next one, and the ledger says so."""

import uuid
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from billing.models import BillingException, LedgerTransfer, OrderSettlement
from billing.services import ledger, orders, verification
from fleetcharge.accounts.models import Organisation
from stations.cpo.ubc import money
from stations.cpo.ubc.models import UBCCarry, UBCOrder
from stations.tests.test_ubc_orders import make_connector, make_network
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db
State = UBCOrder.State


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cpo(organisation: Organisation) -> Any:
    IdToken.objects.create(organisation=organisation, uid="T")
    return make_connector(make_network())


def order(cpo: Any, number: int, **fields: Any) -> UBCOrder:
    network = cpo.evse.location.source.ubc
    now = timezone.now()
    return UBCOrder.objects.create(
        network=network, connector=cpo, transaction_id=uuid.UUID(int=number), order_id=f"O{number}", id_token="T",
        reservation_key=f"key-{number}", item_id="I", bpp_id="cpo.example", bpp_uri="https://cpo.example",
        provider_id="P", quantity_kwh=10, starts_at=now, expires_at=now, **fields,
    )  # fmt: skip


def balance(name: str) -> int:
    return ledger.balance_paise(f"{name}:ubc")


def settle(row: UBCOrder, now: datetime, **changes: Any) -> int:
    UBCOrder.objects.filter(pk=row.pk).update(**changes)
    return orders.settle(order_id=row.pk, now=now)


def test_an_order_is_paid_used_up_and_the_rest_is_owed_to_us(cpo: Any, now: datetime) -> None:
    row = order(cpo, 1, state=State.CONFIRMED, paid_paise=12_800)
    assert settle(row, now) == 1
    assert (balance("cpo_prepaid"), balance("ubc_clearing")) == (12_800, 12_800)
    assert settle(row, now) == 0
    assert settle(row, now, state=State.COMPLETED, value_paise=9_000) == 1
    assert (orders.prepaid_paise("ubc"), balance("cpo_payable")) == (3_800, -9_000)  # its CDR stands against that
    settle(row, now, refunded_paise=3_800)
    assert (orders.prepaid_paise("ubc"), balance("ubc_clearing")) == (0, 9_000)
    assert LedgerTransfer.objects.filter(organisation__isnull=False, kind="network_order").count() == 3
    assert not verification.differences()


def test_an_overcharge_is_collected_with_the_next_order_and_settled_once(cpo: Any, now: datetime) -> None:
    """Drawn for 150 where 128 was paid: 22 come as a fee of the next order, which costs 50 itself."""
    first = order(cpo, 1, state=State.COMPLETED, paid_paise=12_800, value_paise=15_000)
    settle(first, now)
    assert orders.prepaid_paise("ubc") == -2_200
    second = order(cpo, 2, state=State.CONFIRMED, paid_paise=7_200)
    UBCCarry.objects.create(
        charged_in=second, earlier=first, named_order_id="O1", amount_paise=2_200, description="Outstanding balance",
        created_at=now,
    )  # fmt: skip
    money.tell_carries(second, now)
    orders.carried(order_id=second.pk, now=now)
    settle(second, now, state=State.COMPLETED, value_paise=7_200)
    assert orders.prepaid_paise("ubc") == 0
    assert balance("cpo_payable") == -(15_000 + 5_000)  # what the two sessions cost, and nothing twice
    assert balance("ubc_clearing") == 12_800 + 7_200
    assert not BillingException.objects.exists()


def test_a_balance_of_an_order_nobody_knows_is_a_question(cpo: Any, now: datetime) -> None:
    row = order(cpo, 1, state=State.CONFIRMED, paid_paise=7_200)
    UBCCarry.objects.create(charged_in=row, amount_paise=900, named_order_id="?", description="Unpaid", created_at=now)
    for _ in range(2):
        orders.carried(order_id=row.pk, now=now)
    question = BillingException.objects.get()
    assert (question.kind, question.amount_paise) == ("cpo_balance", 900)


def test_a_fee_beyond_what_was_open_is_a_question(cpo: Any, now: datetime) -> None:
    first = order(cpo, 1, state=State.COMPLETED, paid_paise=12_800, value_paise=13_000)
    second = order(cpo, 2, state=State.CONFIRMED, paid_paise=7_200)
    UBCCarry.objects.create(
        charged_in=second, earlier=first, named_order_id="O1", amount_paise=2_200, description="Outstanding",
        created_at=now,
    )  # fmt: skip
    money.tell_carries(second, now)
    orders.carried(order_id=second.pk, now=now)
    assert BillingException.objects.get().title == "A network asks for more than an earlier order left open"


@pytest.mark.parametrize("state", [State.CANCELLED, State.REJECTED])
def test_what_came_to_nothing_was_not_paid(cpo: Any, now: datetime, state: str) -> None:
    row = order(cpo, 1, state=State.CONFIRMED, paid_paise=12_800)
    settle(row, now)
    UBCOrder.objects.filter(pk=row.pk).update(state=state, value_paise=0)
    assert orders.unsettled(limit=10) == [row.pk]
    settle(row, now)
    assert (balance("cpo_prepaid"), balance("ubc_clearing")) == (0, 0)
    assert orders.unsettled(limit=10) == []


def test_the_sweep_finds_what_is_not_posted_yet(cpo: Any, now: datetime) -> None:
    done = order(cpo, 1, state=State.COMPLETED, paid_paise=100, value_paise=100)
    order(cpo, 2, state=State.QUOTED)
    assert orders.unsettled(limit=10) == [done.pk]
    settle(done, now)
    assert orders.unsettled(limit=10) == []
    UBCOrder.objects.filter(pk=done.pk).update(value_paise=90)
    assert orders.unsettled(limit=10) == [done.pk]
    settle(done, now)
    assert OrderSettlement.objects.get().value_paise == 90
    assert orders.prepaid_paise("ubc") == 10
