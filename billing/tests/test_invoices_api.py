"""Owners list and download their own invoices; finance's desk shows documents and months without a query per row."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from billing.approvals import goodwill
from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.invoicing.models import AccountingMonth, OrganisationRegistration, SupplierRegistration, TaxDocument
from billing.invoicing.services import figures, left, months, notes, returns
from billing.services import ledger, verification
from billing.tests.factories import NOON, Fleet, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, gstin_in, make_registration, make_supplier
from billing.tests.test_api import client_for
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope, User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

LISTS = ["taxdocument", "accountingmonth", "numberseries", "supplierregistration", "taxrule",
         "organisationregistration", "registrationmapping"]  # fmt: skip


DECEMBER = date(2026, 12, 1)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier(einvoice_from=NOVEMBER)
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=100_000_00)
    charge(fleet)
    return fleet


@pytest.fixture
def invoice(fleet: Fleet) -> TaxDocument:
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    return TaxDocument.objects.get(kind="invoice")


@pytest.fixture
def api(organisation: Organisation) -> APIClient:
    return client_for(organisation, Scope.BILLING_READ)


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("us@fleetcharge.example", "correct horse"))
    return client


def address(model: str, *args: object, page: str = "changelist") -> str:
    return reverse(f"admin:billing_{model}_{page}", args=args)


def body_of(answer) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_fleet_lists_and_reads_its_documents(api: APIClient, invoice: TaxDocument) -> None:
    rows = api.get("/api/v1/invoices/").json()["results"]
    assert {row["kind"]: row["irn"] for row in rows} == {
        "invoice": "",
        "receipt_voucher": "",
    }
    [row] = api.get("/api/v1/invoices/", {"kind": "invoice", "number": invoice.number}).json()["results"]
    assert (row["total_paise"], row["charged_paise"], row["period"], row["irn"]) == (212_00, 212_40, "2026-11-01", "")
    detail = api.get(f"/api/v1/invoices/{invoice.pk}/").json()
    assert detail["recipient"]["gstin"] == gstin_in("29", "AAPFU0939F")
    assert [line["sac_code"] for line in detail["lines"]] == ["998714"]


@pytest.mark.parametrize(
    ("form", "begins"), [("pdf", b"%PDF-"), ("csv", b"No.,From"), ("xlsx", b"PK"), ("json", b'{\n "Version": "1.1"')]
)
def test_every_file_can_be_had(api: APIClient, invoice: TaxDocument, form: str, begins: bytes) -> None:
    answer = api.get(f"/api/v1/invoices/{invoice.pk}/file/", {"as": form})
    assert answer.status_code == 200
    assert body_of(answer).startswith(begins)
    assert "FC-26-27-0000001" in answer["Content-Disposition"]


def test_an_unknown_form_is_an_error(api: APIClient, invoice: TaxDocument) -> None:
    assert api.get(f"/api/v1/invoices/{invoice.pk}/file/", {"as": "docx"}).json()["code"] == "invalid"
    voucher = TaxDocument.objects.get(kind="receipt_voucher")
    assert api.get(f"/api/v1/invoices/{voucher.pk}/file/", {"as": "json"}).status_code == 400
    assert body_of(api.get(f"/api/v1/invoices/{voucher.pk}/file/")).startswith(b"%PDF-")


def test_a_stranger_gets_nothing(invoice: TaxDocument, other_organisation: Organisation) -> None:
    stranger = client_for(other_organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)
    assert stranger.get("/api/v1/invoices/").json()["results"] == []
    for path in (f"/api/v1/invoices/{invoice.pk}/", f"/api/v1/invoices/{invoice.pk}/file/"):
        assert stranger.get(path).status_code == 404


def more(fleet: Fleet, day: date) -> None:
    """Another session, another month, another invoice."""
    charge(fleet, at=datetime(day.year, day.month, 10, 6, tzinfo=UTC))
    months.close(day=day, now=datetime(day.year, day.month, 10, tzinfo=UTC) + timedelta(days=40))


def test_the_list_costs_the_same_for_any_number(
    api: APIClient, invoice: TaxDocument, fleet: Fleet, django_assert_num_queries
) -> None:
    more(fleet, DECEMBER)
    api.get("/api/v1/invoices/")  # the key's last use is written once a minute
    with django_assert_num_queries(2):
        assert len(api.get("/api/v1/invoices/").json()["results"]) == 3


@pytest.mark.parametrize("model", LISTS)
def test_no_query_per_row_in_the_admin(operator: Client, invoice: TaxDocument, fleet: Fleet, model: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert operator.get(address(model)).status_code == 200
        return len(seen)

    more(fleet, DECEMBER)  # the navigation by date has its queries once there is a choice
    queries()
    few = queries()
    more(fleet, date(2027, 1, 1))
    for state in ("27", "07"):
        make_supplier(state, is_default=False)
        make_registration(fleet.organisation, state, is_default=False)
    assert queries() == few


@pytest.mark.parametrize("model", ["accountingmonth", "numberseries", "supplierregistration", "taxrule"])
def test_our_own_books_are_not_for_fleets(client: Client, owner: User, invoice: TaxDocument, model: str) -> None:
    client.force_login(owner)
    assert client.get(address(model)).status_code == 403


def test_finance_sees_downloads_and_sends_an_invoice(client: Client, finance: User, invoice: TaxDocument) -> None:
    client.force_login(finance)
    page = client.get(address("taxdocument", invoice.pk, page="change")).content.decode()
    assert "EV charging, energy" in page
    assert "CGST ₹16.20, SGST ₹16.20" in page
    for form in ("pdf", "csv", "xlsx", "json"):
        answer = client.get(reverse(f"admin:billing_taxdocument_as_{form}", args=[invoice.pk]))
        assert answer.status_code == 200
        assert "attachment" in answer["Content-Disposition"]
    send = reverse("admin:billing_taxdocument_mail", args=[invoice.pk])
    assert "farid@namma.example" in client.get(send).content.decode()
    assert mail.outbox == []
    client.post(send, {"reason": "asked for"})
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("role", ["owner", "finance"])
def test_a_fleet_does_not_credit_its_own_invoice(client: Client, invoice: TaxDocument, role: str, request) -> None:
    client.force_login(request.getfixturevalue(role))
    credit = reverse("admin:billing_taxdocument_credit", args=[invoice.pk])
    assert credit not in client.get(address("taxdocument", invoice.pk, page="change")).content.decode()
    for answer in (client.get(credit), client.post(credit, {"reason": "please", "request_key": "k"})):
        assert answer.status_code == 403
        assert "Only the platform&#x27;s operators do this" in answer.content.decode()
    assert not TaxDocument.objects.filter(kind="credit_note").exists()


def test_an_operator_credits_an_invoice_with_a_reason_once(admin_client: Client, invoice: TaxDocument) -> None:
    client = admin_client
    credit = reverse("admin:billing_taxdocument_credit", args=[invoice.pk])
    assert credit in client.get(address("taxdocument", invoice.pk, page="change")).content.decode()
    client.get(credit)
    assert not TaxDocument.objects.filter(kind="credit_note").exists()
    for _ in range(2):  # a second click
        client.post(credit, {"reason": "broken charger"})
    note = TaxDocument.objects.get(kind="credit_note")
    assert (note.total_paise, note.reason) == (212_00, "broken charger")
    assert AuditEntry.objects.get(action="credit").reason == "broken charger"
    assert Approval.objects.get().state == "free"  # ₹212 is small: one operator alone


def test_operators_give_back_a_part_of_an_invoice_and_then_the_rest(
    admin_client: Client, admin_user: User, invoice: TaxDocument
) -> None:
    chief = User.objects.create_superuser("chief@fleetcharge.example", "correct horse")
    credit = reverse("admin:billing_taxdocument_credit", args=[invoice.pk])
    balance = ledger.balance_paise(f"wallet:{invoice.organisation_id}")
    for amount in ("-5", "0", "half", "212.01"):
        admin_client.post(credit, {"amount": amount, "reason": "broken charger"})
    assert not Approval.objects.exists()
    for _ in range(2):  # a second click
        admin_client.post(credit, {"amount": "50", "reason": "broken charger"})
    wish = Approval.objects.get()
    assert (wish.state, wish.amount_paise) == ("asked", 50_00)  # 42.38, and twice 3.81
    assert approvals.changes(wish) == [("Left of the invoice", "₹212.00", "₹162.00")]
    approvals.approve(approval_id=wish.pk, decided_by=chief, now=timezone.now())
    assert TaxDocument.objects.get(kind="credit_note").total_paise == 50_00
    assert ledger.balance_paise(f"wallet:{invoice.organisation_id}") == balance + 50_00
    admin_client.post(credit, {"amount": "162.01", "reason": "more than is left"})
    admin_client.post(credit, {"amount": "162", "reason": "the rest"})
    notes = TaxDocument.objects.filter(kind="credit_note")
    assert sum(note.total_paise for note in notes) == invoice.total_paise
    assert sum(note.taxable_paise for note in notes) == invoice.taxable_paise
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert verification.differences() == {}


def test_what_changed_meanwhile_is_not_given_back(admin_user: User, invoice: TaxDocument) -> None:
    chief = User.objects.create_superuser("chief@fleetcharge.example", "correct horse")
    asked = {"document_id": invoice.pk, "asked_by": admin_user, "reason": "broken charger", "now": timezone.now()}
    wish = goodwill.ask(amount_paise=200_00, **asked)
    notes.credit(
        document_id=invoice.pk, taxable_by_line={invoice.lines.get().pk: 20_00}, reason="other", at=timezone.now(),
        actor=chief, request_key="other",
    )  # fmt: skip
    with pytest.raises(Conflict):
        approvals.approve(approval_id=wish.pk, decided_by=chief, now=timezone.now())
    assert TaxDocument.objects.filter(kind="credit_note").count() == 1


def test_every_part_comes_to_its_amount(invoice: TaxDocument) -> None:
    for amount in range(1, invoice.total_paise, 191):
        room = left.of(invoice)
        taken = room.take(room.part(amount))
        assert abs(sum(paise + heads.total_paise for _, paise, heads in taken) - amount) <= 2


def test_documents_are_never_edited_by_hand(client: Client, finance: User, invoice: TaxDocument) -> None:
    client.force_login(finance)
    assert client.get(address("taxdocument", page="add")).status_code == 403
    assert client.post(address("taxdocument", invoice.pk, page="change"), {"total_paise": 1}).status_code == 403
    assert client.post(address("taxdocument", invoice.pk, page="delete"), {"post": "yes"}).status_code == 403


def test_a_month_is_previewed_and_closed_at_the_desk(operator: Client, fleet: Fleet) -> None:
    month = months.month_of(NOVEMBER)
    preview = reverse("admin:billing_accountingmonth_preview", args=[month.pk])
    assert "₹212.00" in operator.get(preview).content.decode()
    draft = operator.get(preview, {"organisation": fleet.organisation.pk, "number": 0})
    assert body_of(draft).startswith(b"%PDF-")
    assert not TaxDocument.objects.exists()
    close = reverse("admin:billing_accountingmonth_close_month", args=[month.pk])

    with time_machine.travel(NOON, tick=False):
        assert "The month is over: 1" in operator.post(close, {"reason": "now"}).content.decode()
    with time_machine.travel(AFTER_NOVEMBER, tick=False):
        operator.get(close)
        assert not AccountingMonth.objects.get().is_closed
        operator.post(close, {"reason": ""})
    assert AccountingMonth.objects.get().is_closed
    page = operator.get(address("accountingmonth", month.pk, page="change")).content.decode()
    assert re.search(r"Unexplained</th><td[^>]*>₹0.00<", page)
    assert "Tax invoice" in page
    assert close not in page  # what is closed has no button that closes it
    assert operator.post(close, {"reason": "again"}).status_code == 403
    exports = reverse("admin:billing_accountingmonth_exports", args=[month.pk])
    shown = operator.get(exports).content.decode()
    assert "Trial balance, CSV" in shown
    assert f"GSTR-1, {gstin_in('29')}, JSON" in shown
    for name in re.findall(r'href="\?file=([^"]+)"', shown):
        assert body_of(operator.get(exports, {"file": name})), name
    assert body_of(operator.get(exports, {"file": "trial-balance"})).startswith(b"Account,Name")


def test_advances_and_sales_are_never_added_up(operator: Client, invoice: TaxDocument) -> None:
    notes.credit(
        document_id=invoice.pk, taxable_by_line={invoice.lines.get().pk: 20_00}, reason="x", at=AFTER_NOVEMBER,
        actor=None, request_key="some",
    )  # fmt: skip
    advance = TaxDocument.objects.get(kind="receipt_voucher")
    returns.refund(voucher=advance, amount_paise=1_000_00, request_key="back", at=AFTER_NOVEMBER)
    page: Any = operator.get(address("taxdocument"))
    assert dict(page.context_data["totals"]) == {
        "Documents": "4", "Taxable": "₹160.00", "Invoiced": "₹188.40",
        "Received in advance": format_inr(advance.total_paise - 1_000_00),
    }  # fmt: skip


def test_a_preview_works_out_a_page_of_fleets_at_a_time(
    operator: Client, fleet: Fleet, other_organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(make_fleet(other_organisation, money_paise=100_000_00))
    monkeypatch.setattr("billing.invoicing.admin.months.FLEETS_PER_PAGE", 1)
    preview = reverse("admin:billing_accountingmonth_preview", args=[months.month_of(NOVEMBER).pk])
    pages = [operator.get(preview, {"page": number}).context for number in (1, 2)]
    shown = [[row["organisation"] for row in page["drafts"]] for page in pages]
    assert shown == [[fleet.organisation], [other_organisation]]
    assert 'href="?page=2"' in operator.get(preview).content.decode()


def test_a_fleets_registration_is_checked(client: Client, owner: User, organisation: Organisation) -> None:
    client.force_login(owner)
    form = {
        "organisation": organisation.pk, "legal_name": "Namma", "address": "7 Hosur Road", "city": "Bengaluru",
        "pin_code": "560068", "state_code": "29", "gstin": "29AAPFU0939F1ZX",
    }  # fmt: skip
    page = client.post(address("organisationregistration", page="add"), form).content.decode()
    assert "The check digit does not fit" in page
    client.post(address("organisationregistration", page="add"), {**form, "gstin": gstin_in("29", "AAPFU0939F")})
    assert OrganisationRegistration.objects.get().gstin == gstin_in("29", "AAPFU0939F")
    assert not SupplierRegistration.objects.exists()


def test_only_operators_say_that_a_fleet_is_in_a_special_economic_zone(
    client: Client, admin_client: Client, owner: User, organisation: Organisation
) -> None:
    """We owe the tax that it is not charged; and what was looked at is one GSTIN."""
    client.force_login(owner)
    row = make_registration(organisation)
    form = {
        "organisation": organisation.pk, "legal_name": "Namma", "address": "7 Hosur Road", "city": "Bengaluru",
        "pin_code": "560068", "state_code": "29", "gstin": row.gstin, "is_sez": "on", "is_default": "on",
    }  # fmt: skip
    page = address("organisationregistration", row.pk, page="change")
    client.post(page, form)
    row.refresh_from_db()
    assert (row.legal_name, row.is_sez) == ("Namma", False)
    client.post(address("organisationregistration", page="add"), {**form, "gstin": gstin_in("29"), "is_default": ""})
    assert not OrganisationRegistration.objects.filter(is_sez=True).exists()

    admin_client.post(page, form)
    row.refresh_from_db()
    assert row.is_sez
    client.post(page, {**form, "legal_name": "Metro", "gstin": gstin_in("29", "AAPFU0939F", "2")})
    row.refresh_from_db()
    assert (row.legal_name, row.gstin, row.is_sez) == ("Metro", form["gstin"], True)
