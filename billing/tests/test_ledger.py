"""The journal: posted once, balanced by shape, and defended by the database itself."""

from datetime import timedelta

import pytest
from django.db import Error, connection, transaction
from django.utils import timezone

from billing.models import BillingException, LedgerAccount, LedgerTransfer, Wallet
from billing.services import ledger, verification
from billing.services.ledger import Dimensions, Leg
from billing.tests.factories import NOON, fund
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.api import Conflict

pytestmark = pytest.mark.django_db
FEE = Leg("bank", "revenue:platform", 500, "fee")
TAX = Leg("bank", "output_cgst", 45, "fee")


def refused(sql: str, *params: object) -> str:
    """The database's own words when it refuses a statement."""
    with pytest.raises(Error) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
    return str(caught.value)


def insert(**changes: object) -> str:
    """Raw SQL, as somebody past the application would write it."""
    row = {
        "entry_key": "forged", "leg": 1, "debit_id": account("bank"), "credit_id": account("revenue:platform"),
        "amount_paise": 1, "currency": "INR", "kind": "fee", "memo": "", "cost_centre": "", "request_hash": "",
        "actor": "me", "occurred_at": NOON, "recorded_at": NOON, **changes,
    }  # fmt: skip
    columns, values = ", ".join(row), ", ".join(["%s"] * len(row))
    return refused(f"INSERT INTO billing_ledgertransfer ({columns}) VALUES ({values})", *row.values())


def account(code: str) -> int:
    return ledger.accounts_for([code])[code].pk


def test_posting_opens_accounts_of_the_right_kind() -> None:
    posted = ledger.post(entry_key="e1", legs=[FEE, TAX], occurred_at=NOON)
    assert posted.is_new
    assert list(LedgerAccount.objects.values_list("code", "kind")) == [
        ("bank", "asset"), ("output_cgst", "liability"), ("revenue:platform", "income"),
    ]  # fmt: skip
    assert (ledger.balance_paise("bank"), ledger.balance_paise("output_cgst")) == (545, 45)


def test_the_same_entry_again_is_a_no_op() -> None:
    first = ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
    again = ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON + timedelta(hours=1))
    assert (again.transfer_ids, again.is_new) == (first.transfer_ids, False)
    assert LedgerTransfer.objects.count() == 1


def test_the_same_key_with_other_content_is_a_conflict() -> None:
    ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
    with pytest.raises(Conflict):
        ledger.post(entry_key="e1", legs=[TAX], occurred_at=NOON)
    assert LedgerTransfer.objects.count() == 1


def test_an_entry_can_be_reversed_exactly_once() -> None:
    ledger.post(entry_key="e1", legs=[FEE, TAX], occurred_at=NOON)
    reversal = ledger.reverse(entry_key="e1", reason="wrong customer", occurred_at=NOON, actor="Farid")
    assert reversal.is_new
    assert ledger.balance_paise("bank") == ledger.balance_paise("output_cgst") == 0
    assert not ledger.reverse(entry_key="e1", reason="wrong customer", occurred_at=NOON, actor="Farid").is_new
    original = LedgerTransfer.objects.get(entry_key="e1", leg=1)
    assert "reverses" in insert(
        reverses_id=original.pk, debit_id=original.credit_id, credit_id=original.debit_id, amount_paise=500
    )


def test_a_reversal_must_mirror_its_original() -> None:
    ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
    original = LedgerTransfer.objects.get()
    assert "does not mirror" in insert(
        reverses_id=original.pk, debit_id=original.credit_id, credit_id=original.debit_id, amount_paise=499
    )


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ledgertransfer SET amount_paise = 1",
        "UPDATE billing_ledgertransfer SET memo = 'nothing to see' WHERE false",
        "DELETE FROM billing_ledgertransfer",
    ],
)
def test_history_cannot_be_rewritten(sql: str) -> None:
    ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
    assert "append-only" in refused(sql)
    assert LedgerTransfer.objects.get().amount_paise == 500


def test_history_cannot_be_emptied() -> None:
    with connection.cursor() as cursor:  # the test database switches this one off for its own cleaning
        cursor.execute("ALTER TABLE billing_ledgertransfer ENABLE TRIGGER ledger_is_never_emptied")
    assert "append-only" in refused("TRUNCATE billing_ledgertransfer CASCADE")


def test_money_rows_are_sound_or_refused() -> None:
    assert "transfer_amount_is_positive" in insert(amount_paise=0)
    assert "transfer_amount_is_positive" in insert(amount_paise=-5)
    assert "transfer_has_two_sides" in insert(credit_id=account("bank"))
    assert "another currency" in insert(currency="EUR")
    LedgerAccount.objects.filter(code="bank").update(closed_at=timezone.now())
    assert "closed" in insert()
    assert not LedgerTransfer.objects.exists()


def test_an_account_keeps_its_identity() -> None:
    account("bank")
    assert "never change" in refused("UPDATE billing_ledgeraccount SET currency = 'EUR'")


@pytest.mark.django_db(transaction=True)
def test_no_leg_joins_an_entry_of_another_transaction() -> None:
    ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
    assert "no leg can be added" in insert(entry_key="e1", leg=2)
    assert "no leg can be added" in insert(entry_key="e1", leg=2, created_xid=_xid_of("e1"))


def _xid_of(entry_key: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT created_xid::text FROM billing_ledgertransfer WHERE entry_key = %s", [entry_key])
        return str(cursor.fetchone()[0])


def test_legs_of_one_entry_may_be_written_in_savepoints() -> None:
    with transaction.atomic():
        ledger.post(entry_key="e1", legs=[FEE], occurred_at=NOON)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO billing_ledgertransfer (entry_key, leg, debit_id, credit_id, amount_paise, currency, kind,"
                " memo, cost_centre, request_hash, actor, occurred_at, recorded_at) SELECT entry_key, 2, debit_id,"
                " credit_id, 1, currency, kind, '', '', '', 'me', occurred_at, recorded_at FROM billing_ledgertransfer"
            )
    assert LedgerTransfer.objects.count() == 2


def test_a_balance_cannot_be_forged(organisation: Organisation) -> None:
    wallet = fund(organisation, 100_00)
    assert "follows the ledger" in refused("UPDATE billing_wallet SET posted_paise = 99999999")
    assert "wallet_is_not_overdrawn" in refused("UPDATE billing_wallet SET held_paise = 100001")
    assert "held_money_is_not_negative" in refused("UPDATE billing_wallet SET held_paise = -1")
    wallet.refresh_from_db()
    assert (wallet.posted_paise, wallet.held_paise) == (100_00, 0)


def test_a_wallet_opens_empty(organisation: Organisation) -> None:
    code = ledger.wallet_code(organisation.pk)
    wallet = Wallet(account=ledger.accounts_for([code])[code], organisation=organisation, posted_paise=1)
    with pytest.raises(Error, match="opens empty"), transaction.atomic():
        wallet.save(force_insert=True)


def test_a_transfer_past_the_application_still_moves_the_projection(organisation: Organisation) -> None:
    wallet = fund(organisation, 100_00)
    ledger.post(
        entry_key="by-hand",
        legs=[Leg(wallet.account.code, "suspense", 40_00, "adjustment")],
        occurred_at=NOON,
        about=Dimensions(organisation_id=organisation.pk),
    )
    wallet.refresh_from_db()
    assert wallet.posted_paise == ledger.balance_paise(wallet.account.code) == 60_00


def test_the_journal_refuses_an_overdraft(organisation: Organisation) -> None:
    wallet = fund(organisation, 100_00)
    with pytest.raises(Error, match="wallet_is_not_overdrawn"), transaction.atomic():
        leg = Leg(wallet.account.code, "suspense", 100_01, "adjustment")
        ledger.post(entry_key="too-much", legs=[leg], occurred_at=NOON)
    assert not LedgerTransfer.objects.filter(entry_key="too-much").exists()


def test_transaction_ids_are_positive_and_new() -> None:
    first, second = ledger.next_transaction_id(), ledger.next_transaction_id()
    assert 0 < first < second <= 2**31 - 1


def test_a_wallet_that_differs_from_its_journal_is_frozen_and_shown(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    fund(organisation, 1_000_00)
    fund(other_organisation, 1_000_00)
    assert verification.prove(now=NOON) == 0
    Wallet.objects.filter(organisation=organisation).update(held_paise=1)  # past the application
    assert verification.prove(now=NOON) == 1
    assert verification.prove(now=NOON) == 1
    assert Wallet.objects.get(organisation=organisation).state == Wallet.State.FROZEN
    assert Wallet.objects.get(organisation=other_organisation).state == Wallet.State.ACTIVE
    exception = BillingException.objects.get()
    assert (exception.kind, exception.organisation_id) == ("books_differ", organisation.pk)
