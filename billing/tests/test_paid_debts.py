"""Money for what was invoiced before is no advance: it is taxed once, by the invoice."""

import dataclasses
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoicing.exports import books
from billing.invoicing.exports.gstr1 import gstr1
from billing.invoicing.models import AccountingMonth, AdvanceUse, DebtPayment, SupplierRegistration, TaxDocument
from billing.invoicing.rendering import pdf
from billing.invoicing.rendering.sheet import sheet_of
from billing.invoicing.services import advances, debts, figures, months, notes
from billing.models import CDR, LedgerTransfer, Wallet
from billing.services import adjustments, ledger, verification, wallets
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from billing.tests.test_renderings import texts_of
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.tests.crossing import until, waiters

Kind = TaxDocument.Kind
DECEMBER = date(2026, 12, 1)
IN_DECEMBER = datetime(2026, 12, 5, tzinfo=UTC)
SESSION = 212_40  # one of `charge`, with its tax; on an invoice of its own 212.00


def fleet_with(organisation: Organisation, money_paise: int, credit_paise: int = 0) -> Fleet:
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=money_paise)
    Wallet.objects.filter(organisation=organisation).update(credit_limit_paise=credit_paise)
    return fleet


def top_up(organisation: Organisation, paise: int, key: str, at: datetime = IN_DECEMBER) -> LedgerTransfer:
    wallets.top_up(organisation_id=organisation.pk, amount_paise=paise, key=key, at=at)
    return LedgerTransfer.objects.get(entry_key=f"topup:{organisation.pk}:{key}")


def close(day: date = NOVEMBER, now: datetime = AFTER_NOVEMBER) -> AccountingMonth:
    return months.close(day=day, now=now, reason="It owes us.").month


def open_advances(organisation: Organisation) -> int:
    received = TaxDocument.objects.filter(organisation=organisation, kind=Kind.RECEIPT_VOUCHER)
    used = AdvanceUse.objects.filter(voucher__in=received).aggregate(paise=Sum("amount_paise"))["paise"] or 0
    return (received.aggregate(paise=Sum("total_paise"))["paise"] or 0) - used


def the_books_are_right() -> None:
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert verification.differences() == {}


@pytest.mark.django_db
@pytest.mark.parametrize("credit_paise", [0, 1_000_00])
def test_what_pays_an_invoice_is_taxed_once(organisation: Organisation, credit_paise: int) -> None:
    """Whether it was owed beyond the wallet, or the wallet is below zero on credit."""
    fleet = fleet_with(organisation, 100_00, credit_paise)
    charge(fleet)
    close()
    invoice = TaxDocument.objects.get(kind=Kind.INVOICE)
    assert (invoice.total_paise, invoice.advance_paise) == (212_00, 100_00)
    transfer = top_up(organisation, 500_00, "december")
    voucher = advances.confirm(transfer=transfer, at=IN_DECEMBER)
    assert voucher == advances.confirm(transfer=transfer, at=IN_DECEMBER)
    assert voucher is not None
    assert (voucher.total_paise, voucher.reason) == (388_00, "₹112.00 of ₹500.00 paid what was invoiced before")
    payment = DebtPayment.objects.get()
    assert (payment.transfer, payment.document, payment.amount_paise) == (transfer, invoice, 112_00)
    assert not advances.unconfirmed().exists()
    assert open_advances(organisation) == Wallet.objects.get(organisation=organisation).posted_paise == 388_00
    the_books_are_right()


@pytest.mark.django_db
def test_money_for_sessions_that_are_on_no_invoice_yet_is_an_advance(organisation: Organisation) -> None:
    fleet = fleet_with(organisation, 100_00)
    charge(fleet)
    transfer = top_up(organisation, 112_40, "november", NOON + timedelta(days=1))
    advances.confirm(transfer=transfer, at=NOON + timedelta(days=1))
    assert TaxDocument.objects.get(advance=transfer).total_paise == 112_40
    assert not DebtPayment.objects.exists()


@pytest.mark.django_db
def test_a_top_up_that_only_pays_an_invoice_has_no_voucher_and_is_not_asked_about_again(
    organisation: Organisation,
) -> None:
    fleet = fleet_with(organisation, 0)
    charge(fleet)
    close()
    transfer = top_up(organisation, 50_00, "some")
    for _ in range(2):
        assert advances.confirm(transfer=transfer, at=IN_DECEMBER) is None
    rest = top_up(organisation, 162_00, "the rest")
    assert advances.confirm(transfer=rest, at=IN_DECEMBER) is None
    assert list(DebtPayment.objects.values_list("transfer", "amount_paise")) == [
        (transfer.pk, 50_00), (rest.pk, 162_00),
    ]  # fmt: skip
    assert not advances.unconfirmed().exists()
    assert not TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER).exists()
    the_books_are_right()


@pytest.mark.django_db
def test_the_oldest_invoice_is_paid_first_and_what_was_given_up_is_not_paid_again(organisation: Organisation) -> None:
    fleet = fleet_with(organisation, 0)
    charge(fleet)
    close()
    charge(fleet, at=IN_DECEMBER)
    close(DECEMBER, datetime(2027, 1, 2, tzinfo=UTC))
    first, second = TaxDocument.objects.filter(kind=Kind.INVOICE).order_by("pk")
    code, about = ledger.receivable_code(organisation.pk), ledger.Dimensions(organisation.pk)
    lost = [ledger.Leg("writeoff", code, 100_00, "write_off")]
    ledger.post(entry_key="write-off:1", legs=lost, occurred_at=IN_DECEMBER, about=about)
    transfer = top_up(organisation, 150_00, "january", datetime(2027, 1, 3, tzinfo=UTC))
    advances.confirm(transfer=transfer, at=datetime(2027, 1, 3, tzinfo=UTC))
    assert list(DebtPayment.objects.values_list("document", "amount_paise")) == [
        (first.pk, 112_00), (second.pk, 38_00),
    ]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("more_wh", "owed_paise"), [(-1_000, 190_76), (1_000, 212_00)])
def test_a_correction_that_is_on_no_note_yet_is_owed_for_no_document(
    organisation: Organisation, more_wh: int, owed_paise: int
) -> None:
    """What it adds is not invoiced; what it gives back has left the debt. What was never invoiced is no part of it."""
    fleet = fleet_with(organisation, 0)
    cdr = charge(fleet)
    close()
    charge(fleet, at=IN_DECEMBER)
    now = adjustments.figures_of(cdr)
    changed = dataclasses.replace(now, energy_wh=now.energy_wh + more_wh)
    assert adjustments.adjust(cdr=adjustments.locked(cdr.pk), figures=changed, reason="late", now=IN_DECEMBER)
    assert debts.owed_for_documents([organisation.pk], advances.unconfirmed()) == {organisation.pk: owed_paise}


@pytest.mark.django_db
def test_what_is_owed_for_documents_looks_no_session_up(organisation: Organisation) -> None:
    """A fleet may have a million: their prices are added up as they stand, no document is asked for each of them."""
    charge(fleet_with(organisation, 0))
    close()
    with CaptureQueriesContext(connection) as asked:
        debts.owed_for_documents([organisation.pk], advances.unconfirmed())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {asked.captured_queries[-1]['sql']}")
        summed = [part.get("Relation Name") for part in summed_in(cursor.fetchone()[0][0]["Plan"])]
    assert "billing_cdr" in summed


def summed_in(plan: dict[str, Any], above: str = "") -> Iterator[dict[str, Any]]:
    """What a plan adds up just as it is read, without a join."""
    if above == "Aggregate":
        yield plan
    for part in plan.get("Plans", []):
        yield from summed_in(part, plan["Node Type"])


@pytest.mark.django_db(transaction=True)
def test_two_workers_pay_the_same_debt_once() -> None:
    organisation = Organisation.objects.create(name="Race", slug="race")
    charge(fleet_with(organisation, 0))
    close()
    first, second = (top_up(organisation, 150_00, key) for key in ("one", "two"))

    def other() -> None:
        try:
            advances.confirm(transfer=second, at=IN_DECEMBER)
        finally:
            connections.close_all()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        advances.confirm(transfer=first, at=IN_DECEMBER)
        thread.start()
        until(lambda: waiters() > 0 or not thread.is_alive())
    thread.join(60)
    assert DebtPayment.objects.aggregate(paise=Sum("amount_paise"))["paise"] == 212_00
    assert open_advances(organisation) == 88_00
    the_books_are_right()


@pytest.mark.django_db(transaction=True)
def test_a_note_about_an_invoice_and_money_that_pays_it_never_wait_for_each_other_in_turn() -> None:
    organisation = Organisation.objects.create(name="Race", slug="race")
    cdr = charge(fleet_with(organisation, 0))
    close()
    now = adjustments.figures_of(cdr)
    with transaction.atomic():
        more = dataclasses.replace(now, energy_wh=now.energy_wh + 1_000)
        assert adjustments.adjust(cdr=adjustments.locked(cdr.pk), figures=more, reason="late", now=IN_DECEMBER)
    transfer, failed = top_up(organisation, 100_00, "some"), list[DatabaseError]()

    def other() -> None:
        try:
            notes.issue_for_corrections([organisation], month=None, on=IN_DECEMBER.date(), at=IN_DECEMBER)
        except DatabaseError as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        debts.keep_others_waiting([organisation.pk])
        thread.start()
        until(lambda: waiters() > 0 or not thread.is_alive())
        advances.confirm(transfer=transfer, at=IN_DECEMBER)
    thread.join(60)
    assert failed == []
    assert TaxDocument.objects.get(kind=Kind.DEBIT_NOTE).total_paise == 21_00
    assert DebtPayment.objects.get().amount_paise == 100_00
    the_books_are_right()


@pytest.mark.django_db
def test_the_split_of_a_top_up_is_defended_by_the_database(organisation: Organisation) -> None:
    fleet = fleet_with(organisation, 0)
    charge(fleet)
    close()
    transfer = top_up(organisation, 50_00, "some")
    advances.confirm(transfer=transfer, at=IN_DECEMBER)
    with pytest.raises(DatabaseError, match="more is paid"), transaction.atomic():
        DebtPayment.objects.create(transfer=transfer, amount_paise=1, decided_at=IN_DECEMBER)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE billing_debtpayment SET amount_paise = 1")


@pytest.mark.django_db
def test_money_of_the_new_month_that_pays_the_old_one_is_in_the_return_of_its_own(organisation: Organisation) -> None:
    """It comes before the close: it has a voucher by then, and November's invoice uses that up."""
    fleet = fleet_with(organisation, 0)
    charge(fleet)
    transfer = top_up(organisation, 212_40, "december", datetime(2026, 12, 1, 1, tzinfo=UTC))
    voucher = advances.confirm(transfer=transfer, at=AFTER_NOVEMBER)
    november = close()
    assert voucher is not None
    assert AdvanceUse.objects.get().voucher == voucher
    december = close(DECEMBER, datetime(2027, 1, 2, tzinfo=UTC))
    supplier = SupplierRegistration.objects.get()
    [left] = [item for place in gstr1(december, supplier)["at"] for item in place["itms"]]
    assert (left["ad_amt"], left["camt"]) == (0.34, 0.03)  # 40 paise are left, tax included
    assert gstr1(november, supplier)["at"] == gstr1(november, supplier)["txpd"] == []
    of_november = {row.account.code: row.closing_paise for row in books.balances(november)}
    assert of_november["output_cgst"] == TaxDocument.objects.get(kind=Kind.INVOICE).cgst_paise
    the_books_are_right()


@pytest.mark.django_db
def test_a_debit_note_uses_advances_up_as_an_invoice_does(organisation: Organisation) -> None:
    fleet = fleet_with(organisation, 500_00)
    cdr = charge(fleet)
    close()
    figures_now = adjustments.figures_of(cdr)
    more = dataclasses.replace(figures_now, energy_wh=figures_now.energy_wh + 1_000)
    assert adjustments.adjust(cdr=adjustments.locked(cdr.pk), figures=more, reason="late", now=IN_DECEMBER)
    close(DECEMBER, datetime(2027, 1, 2, tzinfo=UTC))
    note = TaxDocument.objects.get(kind=Kind.DEBIT_NOTE)
    assert (note.total_paise, note.advance_paise) == (21_00, 21_00)
    assert open_advances(organisation) == Wallet.objects.get(organisation=organisation).posted_paise
    set_off = f"Advances set off: {AdvanceUse.objects.get(document=note).voucher.number}"
    assert set_off.encode() in b"".join(texts_of(pdf.render(sheet_of(note))))
    the_books_are_right()


def taxes_of(told: dict[str, object]) -> dict[str, int]:
    """What a return asks for, by head in paise: sales and notes, advances, less those used up."""
    sums = dict.fromkeys(("camt", "samt", "iamt"), 0)
    rows = [(1, item["itm_det"]) for party in told["b2b"] for row in party["inv"] for item in row["itms"]]  # type: ignore[attr-defined]
    for section, sign in (("at", 1), ("txpd", -1)):
        rows += [(sign, item) for place in told[section] for item in place["itms"]]  # type: ignore[attr-defined]
    for sign, item in rows:
        for name in sums:
            sums[name] += sign * round(item[name] * 100)
    return sums


OPERATIONS = st.one_of(
    st.tuples(st.just("charge"), st.integers(1_000, 20_000)), st.tuples(st.just("top_up"), st.integers(1_00, 600_00)),
    st.tuples(st.just("confirm"), st.none()), st.tuples(st.just("close"), st.none()),
)  # fmt: skip


class Life:
    """A fleet month by month: one session a day, money at any time, closed when the operations say so."""

    def __init__(self, organisation: Organisation, credit_paise: int) -> None:
        self.organisation, self.fleet = organisation, fleet_with(organisation, 0, credit_paise)
        self.now, self.month, self.count = NOON, NOVEMBER, 0

    def do(self, name: str, value: int | None) -> None:
        self.now += timedelta(hours=7)
        self.count += 1
        getattr(self, name)(value)

    def charge(self, wh: int | None) -> None:
        charge(self.fleet, at=self.now, energy_wh=wh or 0)

    def top_up(self, paise: int | None) -> None:
        top_up(self.organisation, paise or 0, str(self.count), self.now)

    def confirm(self, _: int | None) -> None:
        for transfer in advances.unconfirmed().reverse():
            advances.confirm(transfer=transfer, at=self.now)
        self.check()

    def close(self, _: int | None) -> None:
        ends = months.month_of(self.month).ended_at
        self.now = max(self.now, ends + timedelta(hours=3))
        close(self.month, self.now)
        self.month = (self.month + timedelta(days=32)).replace(day=1)

    def finish(self) -> list[AccountingMonth]:
        """All that happened is closed."""
        last = self.now.date()
        while self.month <= last:
            self.close(None)
        self.confirm(None)
        return list(AccountingMonth.objects.order_by("starts_on"))

    def check(self) -> None:
        """The advances that are open are what the fleet has paid and is on no invoice: no paisa more or less."""
        wallet = Wallet.objects.get(organisation=self.organisation)
        unbilled = CDR.objects.filter(captured_at__isnull=False, billed_items=None).aggregate(p=Sum("total_paise"))["p"]
        position = wallet.posted_paise - ledger.balance_paise(ledger.receivable_code(self.organisation.pk))
        assert open_advances(self.organisation) == max(0, position + (unbilled or 0))


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATIONS, min_size=2, max_size=9), st.sampled_from([0, 300_00]))
def test_whatever_comes_in_which_order_every_paisa_is_taxed_once(
    organisation: Organisation, operations: list[tuple[str, int | None]], credit_paise: int
) -> None:
    with transaction.atomic():
        life = Life(organisation, credit_paise)
        for name, value in operations:
            life.do(name, value)
        closed = life.finish()
        supplier = SupplierRegistration.objects.get()
        told = [taxes_of(gstr1(month, supplier)) for month in closed]
        owed = [ledger.balance_paise(f"output_{head}") for head in ("cgst", "sgst", "igst")]
        assert [sum(each[name] for each in told) for name in ("camt", "samt", "iamt")] == owed
        the_books_are_right()
        transaction.set_rollback(True)
