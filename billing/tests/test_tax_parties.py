"""Who is billed by whom: states, union territories, special zones, fleets with several GSTINs, dated rules."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.invoicing.exports.gstr1 import gstr1
from billing.invoicing.models import (
    DocumentLine,
    OrganisationRegistration,
    RegistrationMapping,
    SupplierRegistration,
    TaxDocument,
    TaxRule,
)
from billing.invoicing.services import deadlines, figures, left, months, notes
from billing.invoicing.services.parties import Parties, supply_of
from billing.invoicing.services.place_of_supply import supply_of_session
from billing.invoicing.services.rules import MissingRule, Rules
from billing.models import CDR, BillingException, LedgerTransfer
from billing.services import adjustments, gst_rates, ledger, rating, tariffs, verification
from billing.services.adjustments import Figures
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from billing.tests.invoicing import (
    AFTER_NOVEMBER,
    NOVEMBER,
    charge,
    gstin_in,
    judged,
    make_registration,
    make_supplier,
)
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from stations.models import Location
from vehicles.models import Vehicle

Kind = TaxDocument.Kind
JANUARY = datetime(2027, 1, 2, tzinfo=UTC)


def fleet_of(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=100_000_00)


def close() -> list[TaxDocument]:
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert figures.charged_and_explained(before=AFTER_NOVEMBER)["unexplained_paise"] == 0
    assert verification.differences() == {}
    return list(TaxDocument.objects.filter(kind=Kind.INVOICE).order_by("pk"))


@pytest.mark.parametrize(
    ("ours", "theirs", "facts", "expected"),
    [
        ("29", "29", {}, ("B2B", 16_20, 16_20, 0, "SGST")),
        ("29", "27", {}, ("B2B", 0, 0, 32_40, "SGST")),
        ("38", "38", {}, ("B2B", 16_20, 16_20, 0, "UTGST")),
        ("29", "29", {"is_sez": True}, ("SEZWP", 0, 0, 32_40, "SGST")),
    ],
)  # fmt: skip
def test_the_heads_follow_the_place(
    organisation: Organisation, ours: str, theirs: str, facts: dict, expected: tuple
) -> None:
    make_supplier(ours)
    make_registration(organisation, theirs, **facts)
    charge(fleet_of(organisation))
    [made] = close()
    found = (made.supply_kind, made.cgst_paise, made.sgst_paise, made.igst_paise, made.state_head)
    assert found == expected
    assert (made.place_of_supply, made.total_paise) == (theirs, 212_00)


def test_a_special_zone_under_an_undertaking_is_never_charged_tax(organisation: Organisation) -> None:
    make_supplier(has_undertaking=True)
    make_registration(organisation, is_sez=True)
    fleet = fleet_of(organisation)
    charge(fleet)
    [made] = close()
    assert (made.supply_kind, made.tax_paise, made.total_paise, made.charged_paise) == ("SEZWOP", 0, 180_00, 180_00)
    assert ledger.balance_paise(f"wallet:{organisation.pk}") == 100_000_00 - 180_00
    assert made.lines.get().rate_percent == 0


def test_an_undertaking_given_during_the_month_gives_its_tax_back(organisation: Organisation) -> None:
    ours = make_supplier()
    make_registration(organisation, is_sez=True)
    charge(fleet_of(organisation))
    SupplierRegistration.objects.filter(pk=ours.pk).update(has_undertaking=True)
    [made] = close()
    assert (made.supply_kind, made.tax_paise, made.total_paise, made.charged_paise) == ("SEZWOP", 0, 180_00, 212_40)
    assert ledger.balance_paise(f"wallet:{organisation.pk}") == 100_000_00 - 180_00


def test_a_session_is_taxed_where_its_invoice_will_be(organisation: Organisation) -> None:
    """One truth: sites in our two states, vehicles and cost centres in three of the fleet's, known or not."""
    make_supplier("29")
    make_supplier("27", is_default=False)
    regs = [make_registration(organisation, state, is_default=state == "29") for state in ("29", "27", "07")]
    sez = make_registration(organisation, "24", is_default=False, is_sez=True)
    fleets = [make_fleet(organisation, money_paise=100_000_00)]
    fleets += [make_fleet(organisation, has_wallet=False) for _ in range(4)]
    for fleet, state, centre in zip(
        fleets, ("", "Maharashtra", "Kerala", "maharashtra", ""), ("", "NCR", "NCR", "", "ZONE"), strict=True
    ):
        Location.objects.filter(pk=fleet.location.pk).update(state=state)
        Vehicle.objects.filter(pk=fleet.vehicle.pk).update(cost_centre=centre)
    mapped = {"organisation": organisation}
    RegistrationMapping.objects.create(**mapped, registration=regs[2], cost_centre="NCR")
    RegistrationMapping.objects.create(**mapped, registration=regs[1], vehicle=fleets[2].vehicle)
    RegistrationMapping.objects.create(**mapped, registration=sez, cost_centre="ZONE")
    sessions = [judged(charge(fleet)) for fleet in fleets]
    found = []
    for known in ("all", "one default", "no default", "none of theirs", "none of ours"):
        if known == "one default":
            RegistrationMapping.objects.all().delete()
        elif known == "no default":
            OrganisationRegistration.objects.update(is_default=False)
        elif known == "none of theirs":
            OrganisationRegistration.objects.all().delete()
        elif known == "none of ours":
            SupplierRegistration.objects.update(closed_on=NOVEMBER)
        parties = Parties(organisation)
        for session in sessions:
            supply = supply_of_session(session)
            found.append((supply.kind, supply.is_interstate))
            if known != "none of ours":
                assert supply == supply_of(parties.supplier(session), parties.recipient(session)), (known, session.pk)
    assert set(found) == {("B2B", False), ("B2B", True), ("SEZWP", True), ("B2C", False)}


def test_a_session_and_its_invoice_name_the_same_heads(organisation: Organisation) -> None:
    """Nothing is left for the close to move from one head to another."""
    make_supplier("29")
    make_registration(organisation, "27")
    cdr = charge(fleet_of(organisation))
    assert (cdr.igst_paise, cdr.cgst_paise, cdr.sgst_paise) == (32_40, 0, 0)
    [made] = close()
    moved = LedgerTransfer.objects.filter(entry_key=f"document:{made.pk}")
    assert [(leg.debit.code, leg.amount_paise) for leg in moved] == [("rounding", 40)]  # the printed round-off alone
    assert made.igst_paise == 32_40


def test_vehicles_and_cost_centres_are_billed_to_their_gstin(organisation: Organisation) -> None:
    make_supplier()
    default = make_registration(organisation, "29")
    pune = make_registration(organisation, "27", is_default=False)
    delhi = make_registration(organisation, "07", is_default=False)
    fleets = [fleet_of(organisation), *(make_fleet(organisation, has_wallet=False) for _ in range(3))]
    RegistrationMapping.objects.create(organisation=organisation, registration=pune, vehicle=fleets[1].vehicle)
    RegistrationMapping.objects.create(organisation=organisation, registration=delhi, cost_centre="NCR")
    for fleet in fleets[1:3]:  # the vehicle's own comes before its cost centre's
        fleet.vehicle.cost_centre = "NCR"
        fleet.vehicle.save()
    for fleet in fleets:
        charge(fleet)
    made = close()
    assert {row.registration: row.annexure_rows for row in made} == {default: 2, pune: 1, delhi: 1}
    assert {row.registration: bool(row.igst_paise) for row in made} == {default: False, pune: True, delhi: True}
    assert [row.number for row in made] == [f"FC/26-27/{number:07}" for number in (1, 2, 3)]


def test_our_own_charger_is_supplied_from_its_state(organisation: Organisation) -> None:
    make_supplier("29")
    ours = make_supplier("27", is_default=False, number_prefix="MH")
    make_registration(organisation, "29")
    fleet = fleet_of(organisation)
    fleet.location.state = "maharashtra"
    fleet.location.save()
    charge(fleet)
    [made] = close()
    assert (made.supplier, made.number, made.igst_paise) == (ours, "MH/26-27/0000001", 32_40)


def test_a_gstin_of_another_state_than_its_address_is_refused(organisation: Organisation) -> None:
    row = make_registration(organisation, "29")
    row.gstin = gstin_in("27", "AAPFU0939F")
    with pytest.raises(ValidationError, match="another state"):
        row.full_clean()
    row.gstin = "29AAPFU0939F1ZX"
    with pytest.raises(ValidationError, match="check digit"):
        row.full_clean()


def test_a_mapping_stays_within_the_organisation(organisation: Organisation, other_organisation: Organisation) -> None:
    mapping = RegistrationMapping(
        organisation=organisation, registration=make_registration(other_organisation), cost_centre="x"
    )
    with pytest.raises(ValidationError, match="different organisations"):
        mapping.clean()


def test_gstins_from_before_there_were_registrations_are_taken_over(organisation: Organisation, settings) -> None:
    settings.SUPPLIER_GSTIN = gstin_in("29")
    Organisation.objects.update(gstin=gstin_in("27", "AAPFU0939F"))
    charge(fleet_of(Organisation.objects.get()))
    [made] = close()
    assert (made.supplier.gstin, made.igst_paise) == (gstin_in("29"), 32_40)
    assert OrganisationRegistration.objects.get().is_default


def test_rules_hold_on_their_days(db: None) -> None:
    TaxRule.objects.create(name="rate", subject="998714", value="12", valid_from=date(2027, 4, 1))
    assert Rules(date(2027, 3, 31)).charging_rate == 18
    assert Rules(date(2027, 4, 1)).charging_rate == 12
    with pytest.raises(MissingRule, match="2017-06-30"):
        _ = Rules(date(2017, 6, 30)).sac_code


def credit(document: TaxDocument, actor: User | None = None, **fields) -> TaxDocument:
    defaults = {"taxable_by_line": None, "reason": "a kind gesture", "at": AFTER_NOVEMBER, "request_key": "one"}
    return notes.credit(document_id=document.pk, actor=actor, **{**defaults, **fields})


def test_a_credit_note_gives_back_and_leaves_the_invoice_alone(organisation: Organisation, finance: User) -> None:
    make_supplier()
    make_registration(organisation)
    charge(fleet_of(organisation))
    [made] = close()
    before = ledger.balance_paise(f"wallet:{organisation.pk}")
    note = credit(made, finance)
    assert (note.number, note.original, note.total_paise) == ("CN/26-27/0000001", made, made.total_paise)
    assert credit(made, finance) == note  # the same request
    assert ledger.balance_paise(f"wallet:{organisation.pk}") - before == 212_00
    assert ledger.balance_paise("rounding") == ledger.balance_paise("revenue:charging") == 0
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    with pytest.raises(Conflict, match="Nothing of this invoice is left"):
        credit(made, request_key="two")


def test_parts_of_a_line_are_credited_until_nothing_is_left(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = fleet_of(organisation)
    for hour in range(3):
        charge(fleet, at=NOON + timedelta(hours=hour))
    [made] = close()
    line = made.lines.get()
    first = credit(made, taxable_by_line={line.pk: 100_01}, request_key="a")
    assert (first.taxable_paise, first.cgst_paise, first.total_paise) == (100_01, 9_00, 118_01)
    with pytest.raises(Conflict, match="less left"):
        credit(made, taxable_by_line={line.pk: 440_00}, request_key="b")
    rest = credit(made, request_key="c")
    assert first.taxable_paise + rest.taxable_paise == made.taxable_paise
    assert first.cgst_paise + rest.cgst_paise == made.cgst_paise
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}


def test_what_was_given_back_of_lines_in_the_same_words_counts_once() -> None:
    """Lines of 100 and 80 rupees, of which 80 are given back, leave 100."""

    def line(pk: int, document: TaxDocument, paise: int) -> DocumentLine:
        return DocumentLine(
            pk=pk, document=document, description="Charging", rate_percent=Decimal(18), taxable_paise=paise
        )

    invoice, note = (TaxDocument(pk=pk, kind=kind, total_paise=0) for pk, kind in ((1, "invoice"), (2, "credit_note")))
    room = left.Left(invoice, [line(1, invoice, 100_00), line(2, invoice, 80_00)], [line(3, note, 80_00)])
    assert room.everything() == {1: 20_00, 2: 80_00}
    with pytest.raises(Conflict, match="less left"):
        room.take({1: 20_01})
    assert [paise for _, paise, _ in room.take(room.everything())] == [20_00, 80_00]


PER_KWH_AND_HOUR = [
    {"price_components": [
        {"type": "ENERGY", "price": "18", "step_size": 1}, {"type": "TIME", "price": "20", "step_size": 1},
    ]}
]  # fmt: skip


def correct(cdr: CDR, energy_wh: int, minutes: int = 30) -> None:
    with transaction.atomic():
        ended_at = cdr.started_at + timedelta(minutes=minutes)
        wanted = Figures(cdr.started_at, ended_at, energy_wh, minutes * 60, 0)
        assert adjustments.adjust(cdr=cdr, figures=wanted, reason="a late stop", now=AFTER_NOVEMBER)


def lower_from(day: date, value: str = "12") -> None:
    TaxRule.objects.create(name="rate", subject="998714", value=value, valid_from=day)
    gst_rates.forget()


def test_a_rate_that_changes_within_a_month_is_charged_and_invoiced_by_the_day(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = fleet_of(organisation)
    lower_from(date(2026, 11, 16))
    eve = datetime(2026, 11, 15, 18, 0, tzinfo=UTC)  # 23:30 in India, ending on the 16th
    before, after = charge(fleet, at=eve, minutes=60), charge(fleet, at=eve + timedelta(hours=1))
    assert [cdr.tax_paise for cdr in (before, after)] == [32_40, 21_60]
    assert [line["quantity"] for line in after.explanation[1:]] == ["6", "6"]
    quote = {"connector": fleet.connector, "energy_wh": 10_000, "duration_s": 3_600}
    assert [tariffs.quote_at(at=at, **quote) for at in (eve, eve + timedelta(hours=1))] == [212_40, 201_60]
    [made] = close()
    lines = made.lines.order_by("rate_percent")
    assert [(line.rate_percent, line.cgst_paise, line.sgst_paise) for line in lines] == [
        (12, 10_80, 10_80), (18, 16_20, 16_20),
    ]  # fmt: skip
    assert ledger.balance_paise("rounding") == 0
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}


@pytest.mark.parametrize("is_known_late", [True, False])
def test_a_note_has_the_rate_of_its_invoice(organisation: Organisation, is_known_late: bool) -> None:
    """Also of one from before its rule was known."""
    make_supplier()
    registration = make_registration(organisation)
    cdr = charge(fleet_of(organisation))
    [made] = close()
    lower_from(NOVEMBER if is_known_late else date(2026, 12, 1))
    registration.is_sez = True
    registration.save()
    correct(cdr, energy_wh=9_000)
    months.close(day=date(2026, 12, 1), now=JANUARY, reason="test")
    [note] = made.notes.all()
    [line] = note.lines.all()
    assert (line.rate_percent, note.cgst_paise, note.igst_paise, note.supply_kind) == (18, 1_62, 0, "B2B")
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}


@pytest.mark.parametrize(
    ("month", "now", "tax_paise"),
    [
        (date(2027, 11, 1), datetime(2027, 12, 2, tzinfo=UTC), 3_24),
        (date(2027, 12, 1), datetime(2028, 1, 2, tzinfo=UTC), 0),
    ],
)
def test_a_correction_after_the_last_day_for_credit_notes_lowers_no_tax(
    organisation: Organisation, month: date, now: datetime, tax_paise: int
) -> None:
    """The last day for an invoice of 2026-27 is 30 November 2027; whoever is billed keeps the credit for the tax."""
    supplier = make_supplier(einvoice_from=NOVEMBER)
    make_registration(organisation)
    cdr = charge(fleet_of(organisation))
    [made] = close()
    before = ledger.balance_paise(f"wallet:{organisation.pk}")
    correct(cdr, energy_wh=9_000)
    closed = months.close(day=month, now=now, reason="test").month
    [note] = made.notes.all()
    assert (note.taxable_paise, note.tax_paise) == (18_00, tax_paise)
    assert ledger.balance_paise(f"wallet:{organisation.pk}") == before + note.total_paise
    assert hasattr(note, "e_invoice") == bool(gstr1(closed, supplier)["cdnr"]) == bool(tax_paise)
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert closed.figures["unexplained_paise"] == 0
    assert verification.differences() == {}


def test_a_note_in_time_about_a_line_without_tax_is_in_the_return_and_gets_an_irn(organisation: Organisation) -> None:
    supplier = make_supplier(einvoice_from=NOVEMBER)
    make_registration(organisation)
    fleet = fleet_of(organisation)
    lower_from(date(2026, 11, 16), "0")
    for day in (10, 20):
        charge(fleet, at=NOON.replace(day=day))
    [made] = close()
    free = made.lines.get(rate_percent=0)
    note = credit(made, taxable_by_line={free.pk: free.taxable_paise}, at=JANUARY)
    [told] = gstr1(months.month_of(date(2027, 1, 1)), supplier)["cdnr"]
    assert (made.tax_paise, note.tax_paise, hasattr(note, "e_invoice")) == (32_40, 0, True)
    assert [row["nt_num"] for row in told["nt"]] == [note.number]


def test_a_late_correction_after_goodwill_lowers_no_tax_either(organisation: Organisation) -> None:
    """36 of 180 rupees were given back in time; the rest of a correction to nothing is 144 rupees and no tax."""
    make_supplier()
    make_registration(organisation)
    cdr = charge(fleet_of(organisation))
    [made] = close()
    goodwill = credit(made, taxable_by_line={made.lines.get().pk: 36_00})
    correct(cdr, energy_wh=0)
    closed = months.close(day=date(2027, 12, 1), now=datetime(2028, 1, 2, tzinfo=UTC), reason="test").month
    late = made.notes.latest("pk")
    assert (goodwill.tax_paise, late.taxable_paise, late.tax_paise) == (6_48, 144_00, 0)
    assert abs(late.total_paise - 144_00) < 100
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert closed.figures["unexplained_paise"] == 0
    assert verification.differences() == {}


def test_nothing_is_priced_without_a_rate(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    fleet = fleet_of(organisation)
    TaxRule.objects.filter(name="rate").update(valid_from=date(2027, 1, 1))
    gst_rates.forget()
    stop(fleet, start(fleet).transaction_ref)
    assert not rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=AFTER_NOVEMBER)
    assert "No rule 'rate' 998714 holds" in BillingException.objects.get(kind="missing_tariff").details["why"]
    asked = {"connector": fleet.connector, "energy_wh": 10_000, "duration_s": 3_600, "at": NOON}
    assert (tariffs.quote_at(**asked), tariffs.offer_at(**asked)) == (None, None)


def given_back(made: TaxDocument) -> tuple[int, int, int]:
    rows = [(row.sign, row) for row in made.notes.all()]
    return (
        -sum(sign * row.taxable_paise for sign, row in rows), -sum(sign * row.cgst_paise for sign, row in rows),
        -sum(sign * row.total_paise for sign, row in rows),
    )  # fmt: skip


def test_a_correction_in_other_words_leaves_less_to_give_back(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    cdr = charge(make_fleet(organisation, money_paise=100_000_00, elements=PER_KWH_AND_HOUR))
    [made] = close()
    correct(cdr, energy_wh=7_000, minutes=60)  # less energy, more time: one line "correction"
    months.close(day=date(2026, 12, 1), now=JANUARY, reason="test")
    [note] = made.notes.all()
    assert not {line.description for line in note.lines.all()} & {line.description for line in made.lines.all()}
    by_component = {line.component: line for line in made.lines.all()}
    everything = {line.pk: line.taxable_paise for line in made.lines.all()}
    with pytest.raises(Conflict, match="less left"):
        credit(made, taxable_by_line=everything, request_key="a", at=JANUARY)
    credit(made, taxable_by_line={by_component["TIME"].pk: 10_00}, request_key="b", at=JANUARY)
    credit(made, request_key="c", at=JANUARY)
    assert given_back(made) == (made.taxable_paise, made.cgst_paise, made.total_paise)
    with pytest.raises(Conflict, match="Nothing of this invoice is left"):
        credit(made, request_key="d", at=JANUARY)
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}


@pytest.mark.parametrize(("goodwill_paise", "note_paise"), [(None, 0), (171_00, 9_00 + 1_62)])
def test_a_correction_after_goodwill_gives_back_no_more_than_is_left(
    organisation: Organisation, goodwill_paise: int | None, note_paise: int
) -> None:
    """All of the invoice, or 171 of its 180 rupees, was given back; a correction of 18 finds nothing, or 9 left."""
    make_supplier()
    make_registration(organisation)
    cdr = charge(fleet_of(organisation))
    [made] = close()
    before = ledger.balance_paise(f"wallet:{organisation.pk}") + made.total_paise
    credit(made, taxable_by_line=goodwill_paise and {made.lines.get().pk: goodwill_paise})
    correct(cdr, energy_wh=9_000)
    months.close(day=date(2026, 12, 1), now=JANUARY, reason="test")
    note = TaxDocument.objects.filter(kind="credit_note").latest("pk")
    assert abs(note.total_paise - note_paise) < 100
    assert "had been given back before" in note.reason
    given = TaxDocument.objects.filter(kind="credit_note").values_list("taxable_paise", "total_paise")
    assert [sum(column) for column in zip(*given, strict=True)] == [made.taxable_paise, made.total_paise]
    assert ledger.balance_paise(f"wallet:{organisation.pk}") == before
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert figures.charged_and_explained(before=JANUARY)["unexplained_paise"] == 0
    assert verification.differences() == {}


def test_the_database_refuses_more_than_is_left_of_an_invoice(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    charge(fleet_of(organisation))
    [made] = close()
    note = credit(made, taxable_by_line={made.lines.get().pk: 100_00})
    same = {field.attname: getattr(note, field.attname) for field in note._meta.concrete_fields if field.name != "id"}
    with pytest.raises(IntegrityError, match="more than is left"), transaction.atomic():
        TaxDocument.objects.create(**{**same, "number": "CN/26-27/0000002", "request_key": "again"})


def test_a_credit_note_has_its_last_day(organisation: Organisation) -> None:
    make_supplier()
    make_registration(organisation)
    charge(fleet_of(organisation))
    [made] = close()
    last = deadlines.note_until(made, Rules(NOVEMBER))
    assert last == date(2027, 11, 30)
    with pytest.raises(Conflict, match="2027-11-30"):
        credit(made, at=AFTER_NOVEMBER + timedelta(days=365))
    with pytest.raises(ValueError, match="reason"):
        credit(made, reason=" ")
    assert CDR.objects.count() == 1
