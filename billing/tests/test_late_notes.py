"""Credit notes that come after 30 November of the next year: the tax stays, and who keeps our books confirms each."""

from datetime import UTC, date, datetime
from importlib import import_module

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from billing.desk import fixes
from billing.invoicing.models import NumberSeries, TaxDocument
from billing.invoicing.services import late_notes, months
from billing.models import BillingException
from billing.services import verification
from billing.tests.factories import make_fleet
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from billing.tests.test_tax_parties import correct
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.api import Conflict

LAST_DAY = date(2027, 11, 30)
IN_TIME = LAST_DAY.replace(day=1), datetime(2027, 12, 2, tzinfo=UTC)
LATE = date(2027, 12, 1), datetime(2028, 1, 2, tzinfo=UTC)


def corrected(
    organisation: Organisation, month: date, now: datetime, series_on: date | None = None
) -> TaxDocument:  # fmt: skip
    """An invoice of November 2026, of which a tenth was too much; the month in which that was found is closed."""
    supplier = make_supplier()
    make_registration(organisation)
    if series_on is not None:
        NumberSeries.objects.create(supplier=supplier, financial_year="2027-28", prefix="CN", last_on=series_on)
    cdr = charge(make_fleet(organisation, money_paise=100_000_00))
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    correct(cdr, energy_wh=9_000)
    months.close(day=month, now=now, reason="test")
    return TaxDocument.objects.get(kind="credit_note")


def test_a_note_in_time_asks_nobody(organisation: Organisation) -> None:
    note = corrected(organisation, *IN_TIME)
    assert (note.dated_on, note.tax_paise) == (LAST_DAY, 3_24)
    assert late_notes.question_about(note.pk) is None
    with pytest.raises(Conflict, match="did not come too late"):
        late_notes.confirm(document_id=note.pk, actor=User(), reason="x", at=IN_TIME[1])


def test_a_late_note_is_confirmed_by_an_operator_with_a_reason(
    organisation: Organisation, admin_client: Client, admin_user: User, client: Client, finance: User
) -> None:
    note = corrected(organisation, *LATE)
    question = BillingException.objects.get(kind="late_note")
    assert (question.organisation, question.amount_paise) == (None, note.total_paise)
    assert question.title == f"{note.number} of 2027-12-31 came after 2027-11-30, the last day for FC/26-27/0000001"
    page = reverse("admin:billing_taxdocument_change", args=[note.pk])
    deed = reverse("admin:billing_taxdocument_confirm_late", args=[note.pk])
    fix = fixes.fix_for(question)
    assert fix is not None and fix.link == page
    client.force_login(finance)
    assert client.post(deed, {"reason": "mine"}).status_code == 403
    assert deed not in client.get(page).content.decode()
    shown = admin_client.get(page).content.decode()
    assert deed in shown and "Waits to be confirmed by an operator" in shown
    admin_client.post(deed, {"reason": ""})
    assert BillingException.objects.open().filter(pk=question.pk).exists()
    for _ in range(2):  # a second click
        admin_client.post(deed, {"reason": "Our accountant agrees: no tax back."})
    question.refresh_from_db()
    assert (question.resolved_by, question.resolution) == (admin_user, "Our accountant agrees: no tax back.")
    assert AuditEntry.objects.get(action="resolve").reason == question.resolution
    shown = admin_client.get(page).content.decode()
    assert f"Confirmed by {admin_user}" in shown and question.resolution in shown and deed not in shown
    assert verification.differences() == {}


def test_those_of_before_there_was_a_question_are_asked_about(organisation: Organisation) -> None:
    note = corrected(organisation, *LATE)
    asked = BillingException.objects.filter(kind="late_note")
    [told] = asked.values("reference", "title", "details", "amount_paise", "organisation")
    asked.delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("billing.migrations.0057_late_credit_notes").QUEUE)
    assert list(asked.values("reference", "title", "details", "amount_paise", "organisation")) == [told]
    assert told["details"] == {"document": note.pk, "tax_paise": 0}


def test_a_note_that_its_series_dates_after_the_last_day_lowers_no_tax(organisation: Organisation) -> None:
    """November is closed in December, when the series is further: the note has the day of the note before it."""
    note = corrected(organisation, *IN_TIME, series_on=date(2027, 12, 1))
    assert (note.dated_on, note.tax_paise) == (date(2027, 12, 1), 0)
