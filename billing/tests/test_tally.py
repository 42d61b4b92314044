"""Tally's books are ours: the same tax heads, every bill settled by the advance that paid it, every name known."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from billing.invoicing import files
from billing.invoicing.exports import books
from billing.invoicing.models import AccountingMonth, RegistrationMapping, TaxDocument
from billing.invoicing.services import advances, months, notes, returns
from billing.models import LedgerTransfer
from billing.services import wallets
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, gstin_in, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation
from vehicles.models import IdToken, Vehicle
from vehicles.tests.factories import make_vehicle

HEADS = ("cgst", "sgst", "igst")


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    """Two advances, of which an invoice needs both; two vehicles, one of which has a cost centre."""
    make_supplier()
    make_registration(organisation, legal_name='Namma "A&B" LLP')
    fleet = make_fleet(organisation, money_paise=250_00)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=500_00, key="more", at=NOON)
    Vehicle.objects.filter(pk=fleet.vehicle.pk).update(cost_centre="Last mile")
    charge(fleet)
    IdToken.objects.filter(pk=fleet.token.pk).update(vehicle=make_vehicle(organisation))
    charge(fleet, at=NOON + timedelta(hours=2))
    return fleet


@pytest.fixture
def month(fleet: Fleet) -> AccountingMonth:
    return months.close(day=NOVEMBER, now=AFTER_NOVEMBER).month


def read(month: AccountingMonth, name: str = "tally") -> Element:
    return ElementTree.fromstring(files.of_month(month)[name]().read())


def vouchers(month: AccountingMonth, kind: str) -> list[Element]:
    return [voucher for voucher in read(month).iter("VOUCHER") if voucher.get("VCHTYPE") == kind]


def bills(voucher: Element) -> list[tuple[str | None, ...]]:
    return [
        tuple(bill.findtext(name) for name in ("NAME", "BILLTYPE", "AMOUNT"))
        for bill in voucher.iter("BILLALLOCATIONS.LIST")
    ]


def moved(month: AccountingMonth, ledger: str) -> Decimal:
    """Credits less debits."""
    entries = [entry for entry in read(month).iter("ALLLEDGERENTRIES.LIST") if entry.findtext("LEDGERNAME") == ledger]
    return sum((Decimal(entry.findtext("AMOUNT", "")) for entry in entries), Decimal(0))


def assert_heads_are_ours(month: AccountingMonth) -> None:
    ours = {row.account.code.split(":")[0]: row.credit_paise - row.debit_paise for row in books.balances(month)}
    told = {f"output_{head}": moved(month, f"Output {head.upper()}") * 100 for head in HEADS}
    assert told == {name: ours.get(name, 0) for name in told}
    assert -moved(month, "GST on advances") * 100 == -ours["advance_gst"]


def test_the_heads_are_those_of_our_own_ledger(month: AccountingMonth) -> None:
    assert_heads_are_ours(month)
    for voucher in read(month).iter("VOUCHER"):
        assert sum(Decimal(amount.text or "") for amount in voucher.findall("ALLLEDGERENTRIES.LIST/AMOUNT")) == 0


def test_so_they_are_when_an_advance_went_back_and_an_invoice_was_credited(
    month: AccountingMonth, organisation: Organisation
) -> None:
    at = datetime(2026, 12, 2, tzinfo=UTC)
    advance = TaxDocument.objects.get(kind="receipt_voucher", number="RV/26-27/0000002")
    returns.refund(voucher=advance, amount_paise=100_00, request_key="back", at=at)
    invoice = TaxDocument.objects.get(kind="invoice")
    notes.credit(document_id=invoice.pk, taxable_by_line=None, reason="Given", actor=None, at=at, request_key="k")
    december = months.month_of(date(2026, 12, 1))
    assert {voucher.get("VCHTYPE") for voucher in read(december).iter("VOUCHER")} == {"Payment", "Credit Note"}
    assert_heads_are_ours(december)
    [payment] = vouchers(december, "Payment")
    assert bills(payment) == [("RV/26-27/0000002", "Agst Ref", "-100.00")]


def test_an_invoice_is_settled_by_the_advances_that_paid_it(month: AccountingMonth) -> None:
    first, second = vouchers(month, "Receipt")
    assert bills(first) == [("RV/26-27/0000001", "Advance", "250.00")]
    assert bills(second) == [("RV/26-27/0000002", "Advance", "500.00")]
    [sale] = vouchers(month, "Sales")
    invoice = TaxDocument.objects.get(kind="invoice")
    assert invoice.total_paise == 425_00
    assert bills(sale) == [
        ("RV/26-27/0000001", "Agst Ref", "-250.00"), ("RV/26-27/0000002", "Agst Ref", "-175.00"),
    ]  # fmt: skip


def test_what_no_advance_paid_is_a_bill_of_its_own(fleet: Fleet) -> None:
    for hours in (4, 6):
        charge(fleet, at=NOON + timedelta(hours=hours))
    month = months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="It owes us.").month
    invoice = TaxDocument.objects.get(kind="invoice")
    owed = invoice.total_paise - 750_00
    assert owed > 0
    [sale] = vouchers(month, "Sales")
    assert bills(sale)[-1] == (invoice.number, "New Ref", f"-{owed // 100}.00")


def test_money_for_what_was_invoiced_before_is_a_receipt_against_it(fleet: Fleet, organisation: Organisation) -> None:
    for hours in (4, 6):
        charge(fleet, at=NOON + timedelta(hours=hours))
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="It owes us.")
    invoice, paid_at = TaxDocument.objects.get(kind="invoice"), datetime(2026, 12, 5, tzinfo=UTC)
    owed = invoice.total_paise - 750_00
    wallets.top_up(organisation_id=organisation.pk, amount_paise=owed + 100_00, key="pay_9", at=paid_at)
    transfer = LedgerTransfer.objects.get(entry_key=f"topup:{organisation.pk}:pay_9")
    advances.confirm(transfer=transfer, at=paid_at)
    december = months.month_of(date(2026, 12, 1))
    assert [bills(receipt) for receipt in vouchers(december, "Receipt")] == [
        [("RV/26-27/0000003", "Advance", "100.00")], [(invoice.number, "Agst Ref", f"{owed // 100}.00")],
    ]  # fmt: skip
    assert vouchers(december, "Receipt")[1].findtext("REFERENCE") == "pay_9"
    names = {entry.findtext("LEDGERNAME") for entry in read(december).iter("ALLLEDGERENTRIES.LIST")}
    assert names <= {ledger.get("NAME") for ledger in read(december, "tally-masters").iter("LEDGER")}
    assert_heads_are_ours(december)


def test_a_payment_that_is_found_after_its_month_was_closed_is_in_the_next_one(
    fleet: Fleet, organisation: Organisation
) -> None:
    """What the accountant has imported of a closed month stays as it was, to the byte."""
    for hours in (4, 6):
        charge(fleet, at=NOON + timedelta(hours=hours))
    november = months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="It owes us.").month
    names = ("tally", "tally-masters")
    before = [files.of_month(november)[name]().read() for name in names]
    wallets.top_up(organisation_id=organisation.pk, amount_paise=50_00, key="late", at=NOON)
    transfer = LedgerTransfer.objects.get(entry_key=f"topup:{organisation.pk}:late")
    advances.confirm(transfer=transfer, at=datetime(2026, 12, 5, tzinfo=UTC))
    assert [files.of_month(november)[name]().read() for name in names] == before
    december, january = (months.month_of(date(2026, 12, 1)), months.month_of(date(2027, 1, 1)))
    [receipt] = vouchers(december, "Receipt")
    assert (receipt.findtext("DATE"), receipt.findtext("REFERENCE")) == ("20261201", "late")
    assert vouchers(january, "Receipt") == []
    months.close(day=date(2026, 12, 1), now=datetime(2027, 1, 2, tzinfo=UTC), reason="It owes us.")
    assert len(vouchers(months.month_of(date(2026, 12, 1)), "Receipt")) == 1
    assert vouchers(january, "Receipt") == []


def test_an_advance_of_the_next_month_is_a_receipt_against_the_invoice_that_used_it_up(
    fleet: Fleet, organisation: Organisation
) -> None:
    for hours in (4, 6):
        charge(fleet, at=NOON + timedelta(hours=hours))
    wallets.top_up(organisation_id=organisation.pk, amount_paise=300_00, key="early", at=AFTER_NOVEMBER)
    transfer = LedgerTransfer.objects.get(entry_key=f"topup:{organisation.pk}:early")
    for each in [*advances.without_voucher(before=AFTER_NOVEMBER), transfer]:
        advances.confirm(transfer=each, at=AFTER_NOVEMBER)
    november = months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="It owes us.").month
    invoice, december = TaxDocument.objects.get(kind="invoice"), months.month_of(date(2026, 12, 1))
    rest = invoice.total_paise - 750_00
    [sale] = vouchers(november, "Sales")
    assert bills(sale)[-1] == (invoice.number, "New Ref", f"-{rest // 100}.00")
    [receipt] = vouchers(december, "Receipt")
    assert bills(receipt) == [
        (invoice.number, "Agst Ref", f"{rest // 100}.00"), ("RV/26-27/0000003", "Advance", f"{300 - rest // 100}.00"),
    ]  # fmt: skip
    assert_heads_are_ours(november)
    assert_heads_are_ours(december)


def test_cost_centres_bear_the_whole_of_the_sale(month: AccountingMonth) -> None:
    [sale] = vouchers(month, "Sales")
    [category] = sale.iter("CATEGORYALLOCATIONS.LIST")
    assert category.findtext("CATEGORY") == "Primary Cost Category"
    parts = {part.findtext("NAME"): part.findtext("AMOUNT") for part in category.iter("COSTCENTREALLOCATIONS.LIST")}
    assert parts == {"Last mile": "180.00", "No cost centre": "180.00"}


def test_every_name_in_the_vouchers_is_a_master(fleet: Fleet, organisation: Organisation) -> None:
    """Also where two GSTINs of a fleet have one legal name: Tally keeps one GSTIN in a ledger."""
    elsewhere = make_registration(organisation, "27", legal_name='Namma "A&B" LLP', is_default=False)
    RegistrationMapping.objects.create(organisation=organisation, registration=elsewhere, vehicle=fleet.vehicle)
    month = months.close(day=NOVEMBER, now=AFTER_NOVEMBER).month
    masters = read(month, "tally-masters")
    ledgers = {ledger.get("NAME"): ledger for ledger in masters.iter("LEDGER")}
    tree = read(month)
    assert {entry.findtext("LEDGERNAME") for entry in tree.iter("ALLLEDGERENTRIES.LIST")} <= set(ledgers)
    centres = {centre.get("NAME") for centre in masters.iter("COSTCENTRE")}
    assert {part.findtext("NAME") for part in tree.iter("COSTCENTREALLOCATIONS.LIST")} <= centres
    other = f'Namma "A&B" LLP ({gstin_in("27", "AAPFU0939F")})'
    assert {sale.findtext("PARTYLEDGERNAME") for sale in vouchers(month, "Sales")} == {'Namma "A&B" LLP', other}
    assert {sale.findtext("PARTYLEDGERNAME") for sale in vouchers(month, "Receipt")} == {'Namma "A&B" LLP'}
    assert (ledgers[other].findtext("PARENT"), ledgers[other].findtext("PARTYGSTIN")) == (
        "Sundry Debtors", gstin_in("27", "AAPFU0939F"),
    )  # fmt: skip
    assert ledgers["Output CGST"].findtext("PARENT") == "Duties & Taxes"
