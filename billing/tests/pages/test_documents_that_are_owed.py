"""An invoice is called paid, on the page and in its letter, only while the fleet owes nothing beyond its wallet."""

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client

from billing.invoicing.models import TaxDocument
from billing.invoicing.services import mailing, months
from billing.models import Wallet
from billing.notices import contents
from billing.notices.models import Letter
from billing.services import ledger, wallets
from billing.tests.factories import NOON, make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation, User


@pytest.fixture
def invoice(organisation: Organisation) -> TaxDocument:
    """Two sessions of 212.40 rupees each, and 300 rupees in the wallet."""
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=300_00)
    charge(fleet)
    charge(fleet, at=NOON + timedelta(hours=2))
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER, reason="It owes us.")
    return TaxDocument.objects.get(kind="invoice")


def owed(organisation: Organisation) -> int:
    return ledger.balance_paise(ledger.receivable_code(organisation.pk))


def pay(organisation: Organisation) -> None:
    wallets.top_up(organisation_id=organisation.pk, amount_paise=1_000_00, key="now", at=AFTER_NOVEMBER)
    assert owed(organisation) == 0
    assert Wallet.objects.get().posted_paise > 0


def sentences_of_letters() -> str:
    return " ".join(" ".join(contents.content_of(letter).sentences) for letter in Letter.objects.all())


def test_the_page_calls_it_paid_once_nothing_is_owed(
    client: Client, finance: User, invoice: TaxDocument, organisation: Organisation
) -> None:
    client.force_login(finance)
    assert owed(organisation) > 0
    page = client.get("/wallet/invoices/").content.decode()
    assert "Charged to the wallet" in page
    assert "Paid from the wallet" not in page
    pay(organisation)
    assert "Paid from the wallet" in client.get("/wallet/invoices/").content.decode()


def test_its_letter_says_what_is_owed(invoice: TaxDocument, organisation: Organisation, finance: User) -> None:
    mailing.announce(document_id=invoice.pk, now=AFTER_NOVEMBER)
    said = sentences_of_letters()
    assert f"{ledger_rupees(organisation)} are owed" in said
    assert "nothing to pay" not in said
    mailing.send(document_id=invoice.pk)
    assert f"{ledger_rupees(organisation)} are owed" in mail.outbox[0].body
    pay(organisation)
    mailing.send(document_id=invoice.pk)
    assert "there is nothing to pay" in mail.outbox[1].body


def test_a_letter_written_before_still_reads_as_it_was(
    invoice: TaxDocument, organisation: Organisation, finance: User
) -> None:
    mailing.announce(document_id=invoice.pk, now=AFTER_NOVEMBER)
    letter = Letter.objects.earliest("pk")
    del letter.facts["owed_paise"]
    assert "there is nothing to pay" in " ".join(contents.content_of(letter).sentences)


def ledger_rupees(organisation: Organisation) -> str:
    paise = owed(organisation)
    return f"₹{paise // 100}.{paise % 100:02}"
