"""Operators upload the bank's statement at their desk; a fleet's finance does not."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.models import BankLine
from billing.payments import bank, statement_upload
from billing.tests.test_bill_uploads import sheet
from fleetcharge.accounts.models import AuditEntry, User

pytestmark = pytest.mark.django_db
UPLOAD = reverse("admin:billing_bankline_upload")


def form(content: bytes, **fields: str) -> dict[str, Any]:
    values = {
        "file": SimpleUploadedFile("bank.csv", content), "date_format": "%Y-%m-%d", "date": "Day", "reference": "UTR",
        "amount": "Credit", "text": "",
    }  # fmt: skip
    return {**values, **fields}


@pytest.fixture
def operator(client: Client, finance: User) -> Client:
    finance.is_superuser = finance.is_staff = True
    finance.save()
    client.force_login(finance)
    return client


GOOD = b"Day,UTR,Credit\n2026-11-21,U1,1000.50\n2026-11-21,U2,5\n"


def test_a_statement_is_tried_then_taken(operator: Client) -> None:
    assert "Column of the UTR" in operator.get(UPLOAD).content.decode()
    assert "This was a trial" in operator.post(UPLOAD, form(GOOD, is_trial="on")).content.decode()
    assert not BankLine.objects.exists()
    operator.post(UPLOAD, form(GOOD))
    assert BankLine.objects.get(reference="U1").amount_paise == 1_000_50
    entry = AuditEntry.objects.get(action="bank_statement.take")
    assert (entry.after["new"], entry.after["file"]) == (2, "bank.csv")


def test_what_cannot_be_used_keeps_the_file_out_or_is_left_out(operator: Client) -> None:
    bad = GOOD + b"2026-11-22,U3,five\n"
    told = operator.post(UPLOAD, form(bad)).content.decode()
    assert "amount: five" in told and not BankLine.objects.exists()
    told = operator.post(UPLOAD, form(bad, skips_problems="on")).content.decode()
    assert "Kept without these lines" in told and "amount: five" in told
    assert set(BankLine.objects.values_list("reference", flat=True)) == {"U1", "U2"}
    assert "no column" in operator.post(UPLOAD, form(b"A,B\n1,2\n")).content.decode()
    assert "utf-8" in operator.post(UPLOAD, form(b"\xff\xfe\x00")).content.decode()


def test_a_workbook_is_a_statement_too(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.post(UPLOAD, form(sheet(("Day", "UTR", "Credit"), ("2026-11-21", "U9", 12.5))))
    assert BankLine.objects.get().amount_paise == 12_50
    monkeypatch.setattr(statement_upload, "MOST_BYTES", 10)
    assert "too large" in operator.post(UPLOAD, form(GOOD)).content.decode()


def test_a_fleets_finance_takes_none(client: Client, finance: User) -> None:
    client.force_login(finance)
    assert client.post(UPLOAD, form(GOOD)).status_code == 403
    assert not BankLine.objects.exists()


def test_every_line_that_cannot_be_used_is_counted_also_beyond_those_shown(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank, "MOST_PROBLEMS", 2)
    operator.post(UPLOAD, form(GOOD))
    known = b"".join(b"2026-11-21,U1,%d\n" % amount for amount in (7, 8, 9))  # imported with another amount
    twice = b"2026-11-22,U3,1\n2026-11-22,U3,2\n2026-11-22,U3,3\n"  # the first of them is taken
    content = GOOD + b"2026-11-22,U4,five\n" * 4 + known + twice
    tried = operator.post(UPLOAD, form(content, is_trial="on"))
    assert (_("Cannot be used"), "9") in tried.context["told"]
    assert "7 more lines cannot be used" in tried.content.decode()
    operator.post(UPLOAD, form(content, skips_problems="on"))
    assert AuditEntry.objects.latest("pk").after["left_out"] == 9
    taken = BankLine.objects.values_list("reference", "amount_paise")
    assert sorted(taken) == [("U1", 1_000_50), ("U2", 5_00), ("U3", 1_00)]
