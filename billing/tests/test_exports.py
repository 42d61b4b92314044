"""What the accountant gets: Tally, Zoho, GSTR-1, the ledger and its balance; the same sums everywhere."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
import time_machine
from django.core import mail
from django.core.management import CommandError, call_command

from billing.invoicing import files
from billing.invoicing.exports import books, gstr1
from billing.invoicing.models import AccountingMonth, SupplierRegistration, TaxDocument
from billing.invoicing.services import mailing, months, notes
from billing.models import LedgerTransfer
from billing.services import wallets
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, gstin_in, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import WebhookEndpoint, WebhookMessage

JANUARY = datetime(2027, 1, 2, tzinfo=UTC)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier()
    make_registration(organisation, "27", legal_name='Namma "A&B" LLP')
    fleet = make_fleet(organisation, money_paise=100_000_00)
    fleet.vehicle.cost_centre = "Last mile"
    fleet.vehicle.save()
    for hour in range(2):
        charge(fleet, at=NOON + timedelta(hours=hour))
    return fleet


@pytest.fixture
def month(fleet: Fleet) -> AccountingMonth:
    return months.close(day=NOVEMBER, now=AFTER_NOVEMBER).month


def read(month: AccountingMonth, name: str) -> str:
    return files.of_month(month)[name]().read().decode()


def table(month: AccountingMonth, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read(month, name))))


def test_tally_vouchers_add_up_to_zero(month: AccountingMonth) -> None:
    tree = ElementTree.fromstring(read(month, "tally"))
    vouchers = list(tree.iter("VOUCHER"))
    assert sorted(voucher.get("VCHTYPE") for voucher in vouchers) == ["Receipt", "Sales"]
    for voucher in vouchers:
        amounts = [Decimal(entry.findtext("AMOUNT")) for entry in voucher.findall("ALLLEDGERENTRIES.LIST")]
        assert sum(amounts) == 0
        for entry in voucher.findall("ALLLEDGERENTRIES.LIST"):
            assert (entry.findtext("ISDEEMEDPOSITIVE") == "Yes") == (Decimal(entry.findtext("AMOUNT")) < 0)
    [sale] = [voucher for voucher in vouchers if voucher.get("VCHTYPE") == "Sales"]
    assert sale.get("REMOTEID") == f"fleetcharge-{gstin_in('29')}-2026-27-FC-26-27-0000001"
    assert (sale.findtext("PARTYLEDGERNAME"), sale.findtext("DATE")) == ('Namma "A&B" LLP', "20261130")


def test_zoho_rows_have_the_sums_of_the_document(month: AccountingMonth) -> None:
    [row] = table(month, "zoho-invoices")
    assert (row["Invoice Number"], row["Place of Supply"], row["GST Treatment"]) == (
        "FC/26-27/0000001", "MH", "business_registered_regular",
    )  # fmt: skip
    assert (row["Item Total"], row["IGST"], row["Adjustment"], row["Total"]) == ("360.00", "64.80", "0.20", "425.00")
    assert (row["Quantity"], row["Item Price"], row["Item Tax"]) == ("1", "360.00", "IGST18")  # what Zoho multiplies
    assert row["Item Desc"].endswith("(20 kWh)")
    assert table(month, "zoho-credit-notes") == []


def test_zoho_imports_credit_notes_by_themselves(month: AccountingMonth) -> None:
    invoice = TaxDocument.objects.get(kind="invoice")
    at = datetime(2026, 12, 2, tzinfo=UTC)
    notes.credit(
        document_id=invoice.pk, taxable_by_line={invoice.lines.get().pk: 80_00}, reason="Wrong plug", actor=None, at=at,
        request_key="k",
    )  # fmt: skip
    december = months.month_of(date(2026, 12, 1))
    assert table(december, "zoho-invoices") == []
    [row] = table(december, "zoho-credit-notes")
    assert (row["Credit Note Number"], row["Associated Invoice Number"], row["Reason"]) == (
        "CN/26-27/0000001", "FC/26-27/0000001", "Wrong plug",
    )  # fmt: skip
    assert (row["Item Price"], row["IGST"], row["Total"]) == ("80.00", "14.40", "94.40")
    assert row["Item Desc"].endswith("(4.444 kWh)")  # at the price of the line: 80 of 360 rupees, of 20 kWh


def test_the_return_has_invoices_advances_and_numbers(month: AccountingMonth) -> None:
    told = json.loads(read(month, f"gstr1-{gstin_in('29')}"))
    [party] = told["b2b"]
    [invoice] = party["inv"]
    assert (party["ctin"], told["fp"]) == (gstin_in("27", "AAPFU0939F"), "112026")
    assert (invoice["inum"], invoice["idt"], invoice["val"], invoice["pos"], invoice["inv_typ"]) == (
        "FC/26-27/0000001", "30-11-2026", 425.0, "27", "R",
    )  # fmt: skip
    assert invoice["itms"] == [
        {"num": 1801, "itm_det": {"rt": 18.0, "txval": 360.0, "iamt": 64.8, "camt": 0.0, "samt": 0.0, "csamt": 0}}
    ]
    [advance] = told["at"]
    voucher = TaxDocument.objects.get(kind="receipt_voucher")
    use = voucher.uses.get()
    assert advance["itms"][0]["iamt"] == (voucher.igst_paise - use.igst_paise) / 100
    assert told["hsn"]["hsn_b2b"][0]["txval"] == 360.0
    numbers = {row["doc_typ"]: row["docs"][0]["totnum"] for row in told["doc_issue"]["doc_det"]}
    assert numbers == {"Invoices for outward supply": 1, "Receipt Voucher": 1}
    assert {row["Section"] for row in table(month, f"gstr1-{gstin_in('29')}-csv")} == {"b2b", "at", "hsn_b2b", "docs"}


def test_an_advance_of_an_earlier_month_is_adjusted_later(fleet: Fleet, month: AccountingMonth) -> None:
    charge(fleet, at=datetime(2026, 12, 10, 6, tzinfo=UTC))
    december = months.close(day=date(2026, 12, 1), now=JANUARY).month
    told = gstr1.gstr1(december, SupplierRegistration.objects.get())
    assert told["at"] == []
    invoice = TaxDocument.objects.get(number="FC/26-27/0000002")
    assert told["txpd"][0]["itms"][0]["iamt"] == invoice.advances.get().igst_paise / 100


def test_consumers_are_summed_with_their_notes_taken_off(organisation: Organisation) -> None:
    make_supplier()
    charge(make_fleet(organisation, money_paise=1_000_00))
    month = months.close(day=NOVEMBER, now=AFTER_NOVEMBER).month
    invoice = TaxDocument.objects.get(kind="invoice")
    notes.credit(
        document_id=invoice.pk, taxable_by_line={invoice.lines.get().pk: 80_00}, reason="x", actor=None,
        at=datetime(2026, 12, 2, tzinfo=UTC), request_key="k",
    )  # fmt: skip
    [row] = gstr1.gstr1(month, SupplierRegistration.objects.get())["b2cs"]
    assert (row["sply_ty"], row["txval"], row["camt"]) == ("INTRA", 180.0, 16.2)
    december = months.month_of(date(2026, 12, 1))
    [row] = gstr1.gstr1(december, SupplierRegistration.objects.get())["b2cs"]
    assert (row["txval"], row["camt"]) == (-80.0, -7.2)


def test_debits_are_credits_and_the_ledger_has_every_transfer_twice(month: AccountingMonth) -> None:
    rows = table(month, "general-ledger")
    assert len(rows) == 2 * LedgerTransfer.objects.count()
    assert sum(Decimal(row["Debit"] or 0) for row in rows) == sum(Decimal(row["Credit"] or 0) for row in rows)
    balance = table(month, "trial-balance")
    assert (balance[-1]["Name"], balance[-1]["Debit"]) == ("Total", balance[-1]["Credit"])
    by_code = {row["Account"]: row for row in balance}
    assert by_code["revenue:charging"]["Closing"] == "360.00"
    assert {row["Name"] for code, row in by_code.items() if code.startswith("wallet:")} == {"Wallet, Namma Logistics"}
    assert {row["Recorded"][-6:] for row in rows} == {"+05:30"}  # by the clock of the dates beside it


def test_a_closed_month_keeps_its_balance_and_late_rows_go_to_the_next(fleet: Fleet, month: AccountingMonth) -> None:
    before = read(month, "trial-balance"), read(month, "general-ledger")
    wallets.top_up(organisation_id=fleet.organisation.pk, amount_paise=5_000_00, key="late", at=NOON)
    assert (read(month, "trial-balance"), read(month, "general-ledger")) == before
    december = months.month_of(date(2026, 12, 1))
    assert [row.entry_key for row in books.transfers(december)] == [f"topup:{fleet.organisation.pk}:late"]
    opening = {row.account.code: row.opening_paise for row in books.balances(december)}
    assert opening["revenue:charging"] == 360_00
    charge(fleet, at=datetime(2026, 12, 10, 6, tzinfo=UTC))
    months.close(day=date(2026, 12, 1), now=JANUARY)
    assert TaxDocument.objects.get(advance__entry_key__endswith="late").dated_on == date(2026, 12, 1)
    assert (read(month, "trial-balance"), read(month, "general-ledger")) == before


@pytest.fixture
def in_december() -> Iterator[None]:
    with time_machine.travel(AFTER_NOVEMBER, tick=False):
        yield


def test_one_command_closes_a_month_and_writes_its_files(
    fleet: Fleet, tmp_path: Path, in_december: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("close_month", "2026-11", output=tmp_path)
    said = capsys.readouterr().out
    assert "November 2026 is closed; unexplained: 0 paise" in said
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"tally-2026-11.xml", "tally-masters-2026-11.xml", "zoho-invoices-2026-11.csv",
            "zoho-credit-notes-2026-11.csv",
            "general-ledger-2026-11.csv", "trial-balance-2026-11.csv",
            "FC-26-27-0000001.pdf", "FC-26-27-0000001-sessions.csv", "FC-26-27-0000001-sessions.xlsx",
            "RV-26-27-0000001.pdf", f"gstr1-{gstin_in('29')}-2026-11.json"} <= names  # fmt: skip
    with pytest.raises(CommandError, match="closed already"):
        call_command("close_month", "2026-11")


def test_the_command_says_what_stands_against_it(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    with time_machine.travel(NOON, tick=False), pytest.raises(CommandError, match="not ready"):
        call_command("close_month", "2026-11")
    assert "must The month is over: 1" in capsys.readouterr().out
    with pytest.raises(CommandError, match="2026-11"):
        call_command("close_month", "November")


def test_an_invoice_goes_out_by_mail_with_its_sessions(month: AccountingMonth, finance: User, owner: User) -> None:
    invoice = TaxDocument.objects.get(kind="invoice")
    assert mailing.send(document_id=invoice.pk, actor=finance) == ["farid@namma.example", "omana@namma.example"]
    [letter] = mail.outbox
    assert letter.subject == "Tax invoice FC/26-27/0000001 of ₹425.00"
    assert 'Namma "A&B" LLP' in letter.body
    assert invoice.annexure_sha256 in letter.body
    assert [name for name, _, _ in letter.attachments] == ["FC-26-27-0000001.pdf", "FC-26-27-0000001-sessions.csv"]
    type(invoice.registration).objects.update(email="accounts@namma.example")
    assert mailing.send(document_id=invoice.pk) == ["accounts@namma.example"]


def test_integrators_hear_of_an_invoice_with_the_change_itself(
    fleet: Fleet, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_until", 0.0)  # as after the endpoint below was made
    WebhookEndpoint.objects.create(
        organisation=organisation, url="https://hooks.namma.example/in", event_types=["invoice.issued"],
        secret_encrypted="-",
    )  # fmt: skip
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    [told] = WebhookMessage.objects.all()  # the receipt voucher is no news
    assert (told.event_type, told.payload["data"]["number"]) == ("invoice.issued", "FC/26-27/0000001")
    assert told.payload["data"]["total_paise"] == 425_00
