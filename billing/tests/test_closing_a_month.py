"""A month is closed in one go: vouchers, invoices, notes, the proof; what comes later belongs to the next month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import IntegrityError, InternalError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing.invoicing import voucher_jobs
from billing.invoicing.grouping import Part, corrected_lines, grouped, priced_lines
from billing.invoicing.models import (
    AccountingMonth,
    AdvanceUse,
    BilledItem,
    DocumentLine,
    NumberSeries,
    TaxDocument,
    TaxRule,
)
from billing.invoicing.services import checklist, figures, months, notes
from billing.invoicing.tasks import mail_document
from billing.jobs import engine
from billing.models import CDR, BillingException, CDRAdjustment, ChargingSession, ReconciliationVerdict
from billing.notices.models import Letter
from billing.services import adjustments, exceptions, ledger, verification, wallets
from billing.services.adjustments import Figures, figures_of
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, make_registration, make_supplier
from fleetcharge.accounts.models import AuditEntry, Organisation
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    make_supplier()
    make_registration(organisation)
    return make_fleet(organisation, money_paise=100_000_00)


def close(reason: str = "", now: datetime = AFTER_NOVEMBER, day=NOVEMBER) -> months.Closed:
    return months.close(day=day, now=now, reason=reason)


def invoice() -> TaxDocument:
    return TaxDocument.objects.get(kind=Kind.INVOICE)


def nothing_is_unexplained(before: datetime = AFTER_NOVEMBER) -> None:
    assert figures.charged_and_explained(before=before)["unexplained_paise"] == 0
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert figures.gaps() == []
    assert verification.differences() == {}


def test_a_month_becomes_one_invoice_with_its_annexure(fleet: Fleet) -> None:
    for hour in range(3):
        charge(fleet, at=NOON + timedelta(hours=hour), energy_wh=10_001)
    closed = close()
    made = invoice()
    assert closed.documents == 2  # the receipt voucher of the top-up, too
    # 3 x 180.018 = 180.02 each; 9 % of 540.06 once is 48.61, not 3 x 16.20
    assert (made.taxable_paise, made.cgst_paise, made.sgst_paise) == (540_06, 48_61, 48_61)
    assert (made.round_off_paise, made.total_paise) == (-28, 637_00)
    assert (made.number, made.financial_year, str(made.dated_on)) == ("FC/26-27/0000001", "2026-27", "2026-11-30")
    [line] = made.lines.all()
    assert (line.sac_code, line.rate_percent, str(line.quantity), line.sessions) == ("998714", 18, "30.003", 3)
    assert made.annexure_rows == made.items.count() == 3
    assert len(made.annexure_sha256) == 64
    nothing_is_unexplained()


def test_the_wallet_pays_exactly_what_the_invoice_says(fleet: Fleet) -> None:
    before = ledger.balance_paise(f"wallet:{fleet.organisation.pk}")
    for hour in range(3):
        charge(fleet, at=NOON + timedelta(hours=hour), energy_wh=10_001)
    close()
    assert before - ledger.balance_paise(f"wallet:{fleet.organisation.pk}") == invoice().total_paise
    assert ledger.balance_paise("rounding") == 28  # the printed round-off and nothing else (a cost)
    assert ledger.balance_paise("revenue:charging") == 540_06


def test_an_advance_is_taxed_on_receipt_and_used_up_by_the_invoice(fleet: Fleet) -> None:
    charge(fleet)
    close()
    voucher = TaxDocument.objects.get(kind=Kind.RECEIPT_VOUCHER)
    assert (voucher.number, voucher.total_paise) == ("RV/26-27/0000001", 100_000_00)
    assert (voucher.taxable_paise, voucher.cgst_paise, voucher.sgst_paise) == (84_745_76, 7_627_12, 7_627_12)
    use = AdvanceUse.objects.get()
    assert (use.voucher, use.document, use.amount_paise) == (voucher, invoice(), invoice().total_paise)
    assert invoice().advance_paise == 212_00
    assert ledger.balance_paise(f"advance_gst:{fleet.organisation.pk}") == voucher.tax_paise - 2 * use.cgst_paise
    nothing_is_unexplained()


def test_advances_are_not_taxed_when_the_rule_says_so(fleet: Fleet) -> None:
    TaxRule.objects.create(name="advance_tax", value="0", valid_from=datetime(2026, 4, 1).date())
    charge(fleet)
    close()
    assert not TaxDocument.objects.filter(kind=Kind.RECEIPT_VOUCHER).exists()
    assert invoice().advance_paise == 0


def test_old_top_ups_are_not_taxed_because_new_ones_are(fleet: Fleet) -> None:
    TaxRule.objects.create(name="advance_tax", value="0", valid_from=datetime(2026, 4, 1).date())
    TaxRule.objects.create(name="advance_tax", value="1", valid_from=datetime(2026, 12, 1).date())
    close()
    close(now=datetime(2027, 1, 2, tzinfo=UTC), day=datetime(2026, 12, 1).date())
    assert not TaxDocument.objects.exists()
    assert voucher_jobs.find(now=datetime(2027, 1, 2, tzinfo=UTC), limit=200) == 0


def test_a_top_up_of_taxed_days_is_confirmed_though_new_ones_are_not_taxed(fleet: Fleet) -> None:
    """Heard of after its month was closed: by the rule of its own day, on a document of the next month."""
    TaxRule.objects.create(name="advance_tax", value="0", valid_from=datetime(2026, 12, 1).date())
    close()
    wallets.top_up(organisation_id=fleet.organisation.pk, amount_paise=100_00, key="late", at=NOON)
    assert voucher_jobs.find(now=AFTER_NOVEMBER, limit=200) == 1
    engine.work(now=AFTER_NOVEMBER, kinds=voucher_jobs.KINDS)
    assert voucher_jobs.find(now=AFTER_NOVEMBER, limit=200) == 0
    assert TaxDocument.objects.get(advance__entry_key__endswith=":late").dated_on.isoformat() == "2026-12-01"


def test_an_invoices_letter_is_written_though_no_hint_arrives(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation, email="accounts@namma.example")
    charge(make_fleet(organisation, money_paise=100_000_00))
    close()
    assert not Letter.objects.exists()
    engine.work(now=AFTER_NOVEMBER)
    mail_document(invoice().pk)
    [letter] = Letter.objects.all()  # none about the receipt voucher
    assert (letter.address, letter.key) == ("accounts@namma.example", f"document:{invoice().pk}")
    assert engine.work(now=AFTER_NOVEMBER) == 0


def test_a_blocked_session_is_held_until_a_person_accepts_it(fleet: Fleet) -> None:
    good, odd = charge(fleet), charge(fleet, at=NOON + timedelta(hours=2))
    ReconciliationVerdict.objects.filter(session=odd.session_id).update(verdict="blocked", points=110)
    doubt = exceptions.open_exception(
        organisation_id=fleet.organisation.pk, kind=BillingException.Kind.SUSPICIOUS, session_id=odd.session_id,
        title="Evidence disagrees", at=NOON,
    )  # fmt: skip
    closed = close(reason="the doubt stays in its queue")
    assert [item.cdr for item in BilledItem.objects.all()] == [good]
    assert closed.month.figures["held_paise"] == odd.total_paise
    nothing_is_unexplained()
    exceptions.resolve_exception(exception_id=doubt.pk, actor=None, reason="the tracker was broken", at=AFTER_NOVEMBER)
    close(now=datetime(2027, 1, 2, tzinfo=UTC), day=datetime(2026, 12, 1).date())
    assert BilledItem.objects.get(cdr=odd).document.dated_on.isoformat() == "2026-12-31"
    nothing_is_unexplained(datetime(2027, 1, 1, tzinfo=UTC))


def test_what_is_not_judged_or_priced_yet_stays_off(fleet: Fleet) -> None:
    charge(fleet)
    unjudged = charge(fleet, at=NOON + timedelta(hours=2))
    ChargingSession.objects.filter(pk=unjudged.session_id).update(reconciled_at=None)
    ref = start(fleet, started_at=NOON + timedelta(hours=4)).transaction_ref
    stop(fleet, ref, ended_at=NOON + timedelta(hours=5), meter_stop_wh=500)  # below its start: never priced as it is
    with pytest.raises(months.NotReady) as refused:
        close()
    assert {check.code for check in refused.value.checks} == {"unjudged", "unpriced", "exceptions"}
    assert not TaxDocument.objects.exists()
    close(reason="they go to December")
    assert BilledItem.objects.count() == 1
    nothing_is_unexplained()


def test_a_month_that_is_not_over_cannot_be_closed_for_any_reason(fleet: Fleet) -> None:
    with pytest.raises(months.NotReady, match="The month is over"):
        close(reason="please", now=datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC))  # 23:59:59 in India
    assert not AccountingMonth.objects.get().is_closed


def test_the_last_second_of_the_year_is_in_the_old_one(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=100_000_00)
    last = datetime(2027, 3, 31, 18, 29, 59, tzinfo=UTC)  # 23:59:59 on 31 March in India
    old = charge(fleet, at=last - timedelta(minutes=30))
    beside = make_fleet(organisation, has_wallet=False)
    new = charge(beside, at=last + timedelta(seconds=1) - timedelta(minutes=30))
    close(day=datetime(2027, 3, 1).date(), now=datetime(2027, 4, 2, tzinfo=UTC))
    close(day=datetime(2027, 4, 1).date(), now=datetime(2027, 5, 2, tzinfo=UTC))
    numbers = {item.cdr: item.document.number for item in BilledItem.objects.select_related("document", "cdr")}
    assert numbers == {old: "FC/26-27/0000001", new: "FC/27-28/0000001"}


def test_a_thousand_and_one_sessions_are_few_lines(fleet: Fleet) -> None:
    template = charge(fleet)
    session, verdict = template.session, template.session.verdict
    sessions = ChargingSession.objects.bulk_create(
        ChargingSession(**{**_fields(session), "transaction_ref": f"m{n}", "start_key": f"m{n}"}) for n in range(1_000)
    )
    with connection.cursor() as cursor:  # the database keeps charges and records together; here only documents matter
        CDR.objects.bulk_create(CDR(**{**_fields(template), "session_id": row.pk}) for row in sessions)
        ReconciliationVerdict.objects.bulk_create(
            ReconciliationVerdict(**{**_fields(verdict), "session_id": row.pk}) for row in sessions
        )
        cursor.execute("SELECT 1")
    [draft] = months.drafts(day=NOVEMBER, organisation=fleet.organisation)
    from billing.invoicing.services import issuing

    made = issuing.issue(draft=draft, kind=Kind.INVOICE, on=NOVEMBER, at=AFTER_NOVEMBER, request_key="big")
    assert (made.annexure_rows, made.lines.count()) == (1_001, 1)
    assert made.taxable_paise == 1_001 * template.taxable_paise
    assert made.cgst_paise == (1_001 * 18_000 * 9 + 50) // 100


def _fields(row) -> dict:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.attname != "id"}


def corrected(cdr: CDR, energy_wh: int) -> CDRAdjustment:
    known = figures_of(cdr)
    wanted = Figures(known.started_at, known.ended_at, energy_wh, known.charging_seconds, known.idle_seconds)
    with transaction.atomic():
        made = adjustments.adjust(cdr=cdr, figures=wanted, reason="a late stop", now=AFTER_NOVEMBER)
    assert made is not None
    return made


def test_a_correction_before_the_close_is_on_the_invoice(fleet: Fleet) -> None:
    cdr = charge(fleet)
    corrected(cdr, 9_000)
    close()
    assert invoice().taxable_paise == 162_00
    assert [row.facts["kind"] for row in invoice().items.all()] == ["session", "correction 1"]
    assert str(invoice().lines.get().taxable_paise) == "16200"
    nothing_is_unexplained()


@pytest.mark.parametrize(
    ("energy_wh", "kind", "number", "total_paise"),
    [(9_000, Kind.CREDIT_NOTE, "CN/26-27/0000001", 21_00), (11_000, Kind.DEBIT_NOTE, "DN/26-27/0000001", 21_00)],
)
def test_a_correction_after_the_close_is_a_note_of_the_next_month(
    fleet: Fleet, energy_wh: int, kind: str, number: str, total_paise: int
) -> None:
    cdr = charge(fleet)
    close()
    original = invoice()
    before = {field.attname: getattr(original, field.attname) for field in original._meta.concrete_fields}
    corrected(cdr, energy_wh)
    close(now=datetime(2027, 1, 2, tzinfo=UTC), day=datetime(2026, 12, 1).date())
    note = TaxDocument.objects.get(kind=kind)
    assert (note.number, note.original, note.taxable_paise, note.total_paise) == (number, original, 18_00, total_paise)
    original.refresh_from_db()
    assert before == {field.attname: getattr(original, field.attname) for field in original._meta.concrete_fields}
    nothing_is_unexplained(datetime(2027, 1, 1, tzinfo=UTC))


def test_the_figures_of_a_month_have_notes_of_both_causes(fleet: Fleet) -> None:
    """A correction's, which its close issued, and goodwill, which a person gave meanwhile."""
    cdr = charge(fleet)
    close()
    corrected(cdr, 9_000)
    notes.credit(
        document_id=invoice().pk, taxable_by_line={invoice().lines.get().pk: 20_00}, reason="x",
        at=AFTER_NOVEMBER, actor=None, request_key="goodwill",
    )  # fmt: skip
    month = close(now=datetime(2027, 1, 2, tzinfo=UTC), day=datetime(2026, 12, 1).date()).month
    told = month.figures["documents"]["credit_note"]
    assert (told["count"], told["taxable"]) == (2, 18_00 + 20_00)


def test_a_closed_month_is_final(fleet: Fleet) -> None:
    charge(fleet)
    month = close().month
    with pytest.raises(Conflict, match="closed already"):
        close()
    for statement in (
        "UPDATE billing_accountingmonth SET closed_at = NULL", "DELETE FROM billing_accountingmonth",
        "UPDATE billing_taxdocument SET total_paise = 1", "DELETE FROM billing_taxdocument",
        "UPDATE billing_documentline SET taxable_paise = 1", "DELETE FROM billing_billeditem",
        "UPDATE billing_advanceuse SET amount_paise = 1", "UPDATE billing_numberseries SET last_number = 0",
        "DELETE FROM billing_numberseries", "UPDATE billing_supplierregistration SET gstin = 'x'",
    ):  # fmt: skip
        with pytest.raises((IntegrityError, InternalError)), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(IntegrityError, match="month is closed"), transaction.atomic():
        TaxDocument.objects.create(**{**_fields(invoice()), "month_id": month.pk, "number": "X", "request_key": "x"})
    assert AuditEntry.objects.get(action="close").target_id == str(month.pk)


@pytest.mark.django_db(transaction=True)
def test_nothing_joins_a_document_that_is_issued(fleet: Fleet) -> None:
    charge(fleet)
    close()
    line = _fields(invoice().lines.get())
    with pytest.raises(IntegrityError, match="nothing can be added"), transaction.atomic():
        DocumentLine.objects.create(**{**line, "position": 2})
    with pytest.raises(IntegrityError, match="do not add up"), transaction.atomic():
        TaxDocument.objects.create(
            **{
                **_fields(invoice()),
                "month_id": None,
                "dated_on": AFTER_NOVEMBER.date(),
                "number": "FC/26-27/0000009",
                "request_key": "odd",
            }
        )


def test_an_interrupted_close_goes_on_where_it_was(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    charge(fleet)

    def fails(*args: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(months, "_lock", fails)
        with pytest.raises(RuntimeError):
            close()
    close()
    assert TaxDocument.objects.filter(kind=Kind.INVOICE).count() == 1
    assert NumberSeries.objects.get(prefix="FC").last_number == 1
    nothing_is_unexplained()


def test_the_checklist_says_what_is_open(fleet: Fleet) -> None:
    month = months.month_of(NOVEMBER)
    checks = {check.code: check.count for check in checklist.run(month, now=AFTER_NOVEMBER)}
    assert {code for code, count in checks.items() if count} == {"vouchers"}


@pytest.mark.django_db(transaction=True)
def test_two_never_close_at_once(fleet: Fleet) -> None:
    held = connection.copy()
    try:
        with held.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [months.LOCK])
        with pytest.raises(Conflict, match="Somebody else"):
            close()
        with held.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [months.LOCK])
    finally:
        held.close()
    assert close().month.is_closed


def test_a_networks_session_is_our_purchase_and_our_sale(organisation: Organisation) -> None:
    """We are the principal: what the network gets stays as it was captured, sale and tax are grossed up."""
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=100_000_00)
    fleet.source.kind = "ocpi-2.2.1"
    fleet.source.save()
    charge(fleet, energy_wh=10_001)
    owed = ledger.balance_paise(f"cpo_payable:{fleet.source.slug}")
    close()
    made = invoice()
    assert ledger.balance_paise(f"cpo_payable:{fleet.source.slug}") == owed == 180_02 + 32_40
    assert ledger.balance_paise(f"cpo_cost:{fleet.source.slug}") == ledger.balance_paise("revenue:charging") == 180_02
    assert ledger.balance_paise(f"cpo_input_gst:{fleet.source.slug}") == 32_40
    assert made.lines.get().network == fleet.source.name
    nothing_is_unexplained()


def test_many_sites_fold_into_as_many_lines_as_the_portal_takes() -> None:
    parts = [
        Part("998714", Fraction(18), f"Site {number}", f"Network {number % 3}", "ENERGY", "kWh", Decimal(1), 100)
        for number in range(1_001)
    ]
    assert len(grouped(parts[:1_000], max_items=1_000)) == 1_000
    lines = grouped(parts, max_items=1_000)
    assert [line.site for line in lines] == ["several sites"] * 3
    assert sum(line.taxable_paise for line in lines) == 1_001_00
    assert len(grouped(parts, max_items=2)) == 1


COMPONENTS = st.lists(
    st.tuples(st.sampled_from(["ENERGY", "TIME", "FLAT"]), st.integers(0, 10_000)), min_size=1, max_size=4
)


def _explained(components: list[tuple[str, int]]) -> list[dict[str, object]]:
    return [
        {"dimension": name, "quantity": "1.000", "unit": "kWh", "amount_paise": paise} for name, paise in components
    ]


@given(COMPONENTS, COMPONENTS, st.integers(-50, 50))
def test_the_lines_of_a_correction_add_up_and_never_go_both_ways(
    before: list[tuple[str, int]], after: list[tuple[str, int]], clamp: int
) -> None:
    totals = [max(0, sum(paise for _, paise in one) + clamp) for one in (before, after)]
    priced = [priced_lines(_explained(one), total) for one, total in zip((before, after), totals, strict=True)]
    assert [sum(line.paise for line in lines) for lines in priced] == totals
    lines = corrected_lines(*priced, totals[1] - totals[0])
    assert sum(line.paise for line in lines) == totals[1] - totals[0]
    assert len({line.paise > 0 for line in lines}) <= 1
