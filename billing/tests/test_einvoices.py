"""Documents at the e-invoice portal: registered once, compared when known, cancelled in time, never by a guess."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import httpx
import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.urls import reverse

from billing.desk import fixes
from billing.invoicing.irp.client import HTTPPortal, portal
from billing.invoicing.models import EInvoice, EmulatedEInvoice, TaxDocument, TaxRule
from billing.invoicing.services import checklist, einvoices, months
from billing.jobs.models import Job
from billing.models import BillingException
from billing.tests.factories import Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, gstin_in, make_registration, make_supplier
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict

State = EInvoice.State


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier(einvoice_from=NOVEMBER)
    make_registration(organisation)
    return make_fleet(organisation, money_paise=100_000_00)


@pytest.fixture
def row(fleet: Fleet) -> EInvoice:
    charge(fleet)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    return EInvoice.objects.get()


def report(row: EInvoice, now: datetime = AFTER_NOVEMBER, ask: HTTPPortal | None = None) -> EInvoice:
    with time_machine.travel(now, tick=False):
        einvoices.report(e_invoice_id=row.pk, portal=ask or portal(), now=now)
    row.refresh_from_db()
    return row


def test_an_invoice_is_registered_under_the_irn_we_predicted(row: EInvoice) -> None:
    assert row.document.kind == TaxDocument.Kind.INVOICE  # vouchers are never reported
    assert row.state == State.PENDING
    letters_about_it = Job.objects.filter(kind="document_letter", key=str(row.document_id))
    assert not letters_about_it.exists()
    report(row)
    assert letters_about_it.exists()  # written down with the IRN
    assert (row.state, row.irn) == (State.REGISTERED, row.predicted_irn)
    assert row.ack_number
    assert 700 < len(row.signed_qr) < 1_200
    assert report(row).attempts == 1


def test_the_payload_adds_up_and_has_what_the_portal_wants(row: EInvoice) -> None:
    told = einvoices.payload_of(row.document)
    assert told["Version"] == "1.1"
    assert told["DocDtls"] == {"Typ": "INV", "No": "FC/26-27/0000001", "Dt": "30/11/2026"}
    assert told["SellerDtls"]["Gstin"] == gstin_in("29")
    assert (told["BuyerDtls"]["Pos"], told["BuyerDtls"]["Pin"]) == ("29", 560068)
    [item] = told["ItemList"]
    assert (item["HsnCd"], item["IsServc"], item["Qty"], item["UnitPrice"]) == ("998714", "Y", 10.0, 18.0)
    assert (item["AssAmt"], item["CgstAmt"], item["SgstAmt"], item["TotItemVal"]) == (180.0, 16.2, 16.2, 212.4)
    assert told["ValDtls"] == {
        "AssVal": 180.0, "CgstVal": 16.2, "SgstVal": 16.2, "IgstVal": 0.0, "Discount": 0, "OthChrg": 0,
        "RndOffAmt": -0.4, "TotInvVal": 212.0,
    }  # fmt: skip


def test_texts_are_what_the_portal_takes(row: EInvoice) -> None:
    """No double quote, no backslash, 100 letters a line."""
    document = row.document
    street = "Survey No. 117/2B, " * 8
    document.recipient_facts |= {"legal_name": 'Namma "A&B" LLP', "trade_name": "N\\B", "address": street}
    buyer = einvoices.payload_of(document)["BuyerDtls"]
    assert (buyer["LglNm"], buyer["TrdNm"]) == ("Namma 'A&B' LLP", "N/B")
    assert (buyer["Addr1"], buyer["Addr2"]) == (street[:100].strip(), street[100:].strip())


def test_texts_that_are_too_short_for_the_portal_are_left_out(row: EInvoice) -> None:
    """A trade name and a second line of an address have three letters or are not there."""
    document = row.document
    for rest, trade_name, there in (("7A", "AB", set()), ("7AB", "ABC", {"TrdNm", "Addr2"})):
        document.recipient_facts |= {"trade_name": trade_name, "address": "x" * 100 + rest}
        assert {"TrdNm", "Addr2"} & set(einvoices.payload_of(document)["BuyerDtls"]) == there


def test_an_answer_that_got_lost_is_fetched_and_compared(row: EInvoice) -> None:
    class Loses(httpx.BaseTransport):
        def __init__(self) -> None:
            self.inner = portal()._client._transport

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.inner.handle_request(request)
            raise httpx.ReadTimeout("late")

    report(row, ask=HTTPPortal(httpx.Client(base_url="http://irp", transport=Loses())))
    assert (row.state, row.last_error, row.attempts) == (State.PENDING, "late", 1)
    assert EmulatedEInvoice.objects.count() == 1
    assert report(row, AFTER_NOVEMBER + timedelta(seconds=10)).attempts == 1  # not due yet
    report(row, AFTER_NOVEMBER + timedelta(minutes=2))
    assert (row.state, row.irn) == (State.REGISTERED, row.predicted_irn)
    assert EmulatedEInvoice.objects.count() == 1


def test_a_number_that_is_registered_with_other_content_is_no_success(row: EInvoice) -> None:
    other = einvoices.payload_of(row.document)
    other["ValDtls"]["TotInvVal"] = 9.0
    with time_machine.travel(AFTER_NOVEMBER, tick=False):
        portal().register(other)
    report(row)
    assert row.state == State.FAILED
    assert "other content" in row.last_error
    assert row.irn == ""


def test_after_thirty_days_it_is_too_late(row: EInvoice) -> None:
    report(row, datetime(2026, 12, 31, tzinfo=UTC))  # 31 days after 30 November
    assert row.state == State.TOO_LATE
    assert not EmulatedEInvoice.objects.exists()
    assert Job.objects.filter(kind="document_letter", key=str(row.document_id)).exists()  # no IRN comes any more


def test_a_broken_portal_is_asked_again_later_and_later(row: EInvoice) -> None:
    broken = HTTPPortal(
        httpx.Client(
            base_url="http://irp", transport=httpx.MockTransport(lambda request: httpx.Response(502, text="<html>"))
        )
    )
    pauses = []
    now = AFTER_NOVEMBER
    for _ in range(4):
        report(row, now, broken)
        pauses.append(row.next_attempt_at - now)
        now = row.next_attempt_at
    assert pauses == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert einvoices.sweep(portal=broken, now=now - timedelta(seconds=1)) == 0


def test_an_irn_is_cancelled_within_a_day(row: EInvoice, finance: User) -> None:
    report(row)
    late = AFTER_NOVEMBER + timedelta(hours=24, seconds=1)
    with pytest.raises(Conflict, match="24 hours"):
        einvoices.cancel(e_invoice_id=row.pk, portal=portal(), reason_code="2", remark="typo", now=late, actor=finance)
    now = AFTER_NOVEMBER + timedelta(hours=23)
    with time_machine.travel(now, tick=False):
        einvoices.cancel(e_invoice_id=row.pk, portal=portal(), reason_code="2", remark="typo", now=now, actor=finance)
    row.refresh_from_db()
    assert (row.state, row.cancelled_at) == (State.CANCELLED, now)
    row.document.refresh_from_db()
    assert row.document.number == "FC/26-27/0000001"  # and keeps it


def refused_for_its_address(fleet: Fleet) -> EInvoice:
    fleet.organisation.gst_registrations.update(address="")
    charge(fleet)
    with pytest.raises(months.NotReady, match=r"Registrations have the address.*: 1"):
        months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="they never answer")
    row = report(EInvoice.objects.get())
    assert (row.state, row.last_error) == (State.FAILED, "The recipient has no address.")
    return row


def test_what_the_portal_refuses_waits_for_an_operator(fleet: Fleet) -> None:
    row = refused_for_its_address(fleet)
    waiting = BillingException.objects.get()
    assert (waiting.kind, waiting.organisation, waiting.amount_paise) == ("e_invoice", None, 212_00)
    fix = fixes.fix_for(waiting)
    assert fix and fix.link == reverse("admin:billing_taxdocument_change", args=[row.document_id])


def test_those_from_before_there_was_a_queue_are_put_into_it(fleet: Fleet) -> None:
    row = refused_for_its_address(fleet)
    BillingException.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("billing.migrations.0054_e_invoices_in_the_queue").QUEUE)
    assert BillingException.objects.get().title == "FC/26-27/0000001 has no IRN: The recipient has no address."
    fleet.organisation.gst_registrations.update(address="7 Hosur Road")
    einvoices.try_again(e_invoice_id=row.pk, now=AFTER_NOVEMBER, actor=None, reason="asked them")
    report(row)
    assert not BillingException.objects.open().exists()


def test_an_address_that_is_completed_afterwards_is_reported_and_the_invoice_sent(fleet: Fleet, finance: User) -> None:
    row = refused_for_its_address(fleet)
    assert not Job.objects.filter(kind="document_letter", key=str(row.document_id)).exists()
    fleet.organisation.gst_registrations.update(address="7 Hosur Road", city="Elsewhere")
    assert einvoices.try_again(e_invoice_id=row.pk, now=AFTER_NOVEMBER, actor=finance, reason="asked them")
    assert report(row).state == State.REGISTERED
    told = EmulatedEInvoice.objects.get().payload["BuyerDtls"]
    assert (told["Addr1"], told["Loc"]) == ("7 Hosur Road", "Karnataka")  # what it says already, it keeps
    row.document.refresh_from_db()
    assert row.document.recipient_facts["address"] == ""  # as it was issued
    assert BillingException.objects.get().resolution == "It is registered now."
    assert Job.objects.filter(kind="document_letter", key=str(row.document_id)).exists()


def test_another_registrations_address_completes_nothing(fleet: Fleet, finance: User) -> None:
    row = refused_for_its_address(fleet)
    other = gstin_in("29", "AAPFU0939F", "2")
    fleet.organisation.gst_registrations.update(address="7 Hosur Road", gstin=other)
    einvoices.try_again(e_invoice_id=row.pk, now=AFTER_NOVEMBER, actor=finance, reason="asked them")
    assert report(row).last_error == "The recipient has no address."
    assert BillingException.objects.count() == 1


def test_what_is_too_late_waits_for_an_operator_until_the_rule_says_otherwise(row: EInvoice, finance: User) -> None:
    late = datetime(2026, 12, 31, tzinfo=UTC)
    report(row, late)
    assert BillingException.objects.open().get().kind == "e_invoice"
    irns = {check.code: check.count for check in checklist.run(months.month_of(NOVEMBER), now=late)}["irn"]
    assert irns == 1
    TaxRule.objects.create(name="irn_days", value="60", valid_from=NOVEMBER)
    assert einvoices.try_again(e_invoice_id=row.pk, now=late, actor=finance, reason="below ten crore")
    assert report(row, late).last_error == "2163: The document date is older than 30 days"  # says the portal itself


def test_only_operators_report_again_and_cancel(
    row: EInvoice, client: Client, admin_client: Client, finance: User
) -> None:
    client.force_login(finance)
    again, cancel = (
        reverse(f"admin:billing_taxdocument_{name}", args=[row.document_id]) for name in ("report", "cancel_irn")
    )
    page = reverse("admin:billing_taxdocument_change", args=[row.document_id])
    with time_machine.travel(AFTER_NOVEMBER, tick=False):
        for address in (again, cancel):
            assert client.post(address, {"code": "2", "reason": "x"}).status_code == 403
        assert again not in client.get(page).content.decode()
        assert cancel not in admin_client.get(page).content.decode()  # it is not registered yet
        admin_client.post(again, {"reason": "now"})
        assert cancel in admin_client.get(page).content.decode()
    with time_machine.travel(AFTER_NOVEMBER + timedelta(hours=25), tick=False):
        told = admin_client.post(cancel, {"code": "2", "reason": "typo"}, follow=True).content.decode()
        assert "within 24 hours" in told
    row.refresh_from_db()
    assert row.state == State.REGISTERED
    with time_machine.travel(AFTER_NOVEMBER + timedelta(hours=23), tick=False):
        admin_client.post(cancel, {"code": "2", "reason": "typo"})
    row.refresh_from_db()
    assert (row.state, row.cancel_reason) == (State.CANCELLED, "typo")
    assert AuditEntry.objects.get(action="cancel_irn").reason == "typo"


def test_a_fleet_without_a_gstin_needs_no_irn(organisation: Organisation) -> None:
    make_supplier(einvoice_from=NOVEMBER)
    charge(make_fleet(organisation, money_paise=100_000_00))
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    assert TaxDocument.objects.get(kind="invoice").supply_kind == "B2C"
    assert not EInvoice.objects.exists()
