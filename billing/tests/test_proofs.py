"""What `verify_ledger` finds: each difference is made past the application, and named by the check that is about it."""

import pytest
from django.db import connection

from billing.invoicing.models import BilledItem
from billing.invoicing.services import months
from billing.limits.models import LimitUsage
from billing.models import CDR, BillingException, Wallet
from billing.services import ledger, verification, wallets
from billing.services.ledger import Leg
from billing.tests.factories import NOON, fund, limit, make_fleet, start
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation

pytestmark = pytest.mark.django_db


def found() -> list[str]:
    return list(verification.differences())


def past_the_triggers(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_a_wallet_without_new_sessions_is_frozen_too_and_no_top_up_reopens_it(organisation: Organisation) -> None:
    fund(organisation, 1_000_00)
    Wallet.objects.update(held_paise=1, state=Wallet.State.HOLD_ONLY)
    code = ledger.receivable_code(organisation.pk)
    ledger.post(entry_key="owed", legs=[Leg(code, "revenue:charging", 5_00, "test")], occurred_at=NOON)
    assert verification.prove(now=NOON) == 1
    wallets.top_up(organisation_id=organisation.pk, amount_paise=10_00, key="k", at=NOON)
    assert Wallet.objects.get().state == Wallet.State.FROZEN


def test_energy_that_no_hold_reserves_is_found(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    limit(organisation, period="month", energy_wh=500_000)
    start(fleet)
    assert found() == []
    LimitUsage.objects.update(reserved_wh=LimitUsage.objects.get().reserved_wh + 1)
    assert found() == ["limit reserves other energy than what its holds do"]


def test_a_debt_below_zero_is_found_where_there_is_a_wallet(organisation: Organisation) -> None:
    leg = Leg("revenue:charging", ledger.receivable_code(organisation.pk), 40_00, "test")
    ledger.post(entry_key="too much", legs=[leg], occurred_at=NOON)
    assert found() == []  # without a wallet there is nowhere else to keep it
    code = ledger.wallet_code(organisation.pk)
    Wallet.objects.create(organisation=organisation, account=ledger.accounts_for([code])[code])
    assert found() == ["fleet with a wallet owes less than nothing"]
    assert verification.prove(now=NOON) == 1
    assert BillingException.objects.get().title == "Fleet with a wallet owes less than nothing"


def test_a_session_billed_with_another_amount_than_charged_is_found(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=100_000_00)
    charge(fleet)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="")
    assert (BilledItem.objects.count(), found()) == (1, [])
    past_the_triggers("UPDATE billing_billeditem SET taxable_paise = taxable_paise + 1")
    assert found() == ["session on a document with another amount than was charged"]
    past_the_triggers("UPDATE billing_billeditem SET taxable_paise = taxable_paise - 1")
    past_the_triggers(f"UPDATE billing_cdr SET captured_at = NULL WHERE id = {CDR.objects.get().pk}")
    assert "session on a document with another amount than was charged" in found()
