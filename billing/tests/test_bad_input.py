"""Odd clocks, meters, parties and sizes: each ends in the same balances, to the paisa, with nothing unexplained."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models

from billing import tasks
from billing.charging import batches
from billing.invoicing import files
from billing.invoicing.models import AdvanceUse, OrganisationRegistration, TaxDocument
from billing.invoicing.services import figures, months
from billing.models import CDR, BillingException, ChargingSession, LedgerTransfer, ReconciliationVerdict, Wallet
from billing.services import ledger, verification, wallets
from billing.tests.factories import Fleet, make_fleet, sample, start, stop
from billing.tests.invoicing import AFTER_NOVEMBER, NOVEMBER, charge, gstin_in, make_registration, make_supplier
from fleetcharge.accounts.models import Organisation

pytestmark = pytest.mark.django_db
Kind = TaxDocument.Kind
MONEY = 5_000_00
LAST_SECOND = datetime(2027, 3, 31, 18, 29, 59, tzinfo=UTC)  # 23:59:59 on 31 March in India
MARCH, APRIL = date(2027, 3, 1), date(2027, 4, 1)


def fleet_of(organisation: Organisation, ours: str = "29", theirs: str = "29", **facts: Any) -> Fleet:
    make_supplier(ours)
    make_registration(organisation, theirs, **facts)
    return make_fleet(organisation, money_paise=MONEY)


def balances(organisation: Organisation) -> dict[str, int]:
    """Paise by account; what documents are rounded by is their own."""
    codes = [f"wallet:{organisation.pk}", f"receivable:{organisation.pk}", "revenue:charging"]
    codes += [f"output_{head}" for head in ("cgst", "sgst", "igst")]
    return {code.partition(":")[0]: ledger.balance_paise(code) for code in codes}


def nothing_is_unexplained(before: datetime = AFTER_NOVEMBER) -> None:
    assert figures.charged_and_explained(before=before)["unexplained_paise"] == 0
    assert figures.unexplained_tax() == {"cgst": 0, "sgst": 0, "igst": 0}
    assert figures.gaps() == []
    assert verification.differences() == {}


@pytest.mark.parametrize(
    ("theirs", "facts", "tax"),
    [
        ("29", {}, {"output_cgst": 16_20, "output_sgst": 16_20}),
        ("27", {}, {"output_igst": 32_40}),
        ("29", {"is_sez": True}, {"output_igst": 32_40}),
        ("27", {"is_sez": True}, {"output_igst": 32_40}),
    ],
)
def test_whoever_is_billed_where_pays_the_same_and_only_the_heads_differ(
    organisation: Organisation, theirs: str, facts: dict[str, Any], tax: dict[str, int]
) -> None:
    """In our state, in another one, in a special economic zone of either."""
    fleet = fleet_of(organisation, theirs=theirs, **facts)
    charge(fleet)
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    invoice = TaxDocument.objects.get(kind=Kind.INVOICE)
    assert (invoice.place_of_supply, invoice.total_paise) == (theirs, 212_00)
    use = AdvanceUse.objects.get()
    left = {name: paise for name, paise in balances(organisation).items() if name.startswith("output")}
    advances = TaxDocument.objects.get(kind=Kind.RECEIPT_VOUCHER)
    of_advance = {head: getattr(advances, f"{head}_paise") - getattr(use, f"{head}_paise") for head in figures.HEADS}
    assert left == {f"output_{head}": tax.get(f"output_{head}", 0) + of_advance[head] for head in figures.HEADS}
    assert balances(organisation) | left == {"wallet": MONEY - 212_00, "receivable": 0, "revenue": 180_00} | left
    nothing_is_unexplained()


def test_a_gstin_of_another_state_than_its_registration_is_refused(organisation: Organisation) -> None:
    odd = OrganisationRegistration(
        organisation=organisation, gstin=gstin_in("27"), legal_name="x", state_code="29", is_default=True
    )
    with pytest.raises(ValidationError, match="state"):
        odd.full_clean()


def test_money_and_sessions_of_the_last_second_of_the_year_are_in_the_old_one(organisation: Organisation) -> None:
    """A second later all of it is the new year's; whichever it is, the same is paid."""
    fleet = fleet_of(organisation)
    half_an_hour = timedelta(minutes=30)
    for key, at in (("old", LAST_SECOND), ("new", LAST_SECOND + timedelta(seconds=1))):
        wallets.top_up(organisation_id=organisation.pk, amount_paise=300_00, key=key, at=at)
    old = charge(fleet, at=LAST_SECOND - half_an_hour)
    new = charge(make_fleet(organisation, has_wallet=False), at=LAST_SECOND + timedelta(seconds=1) - half_an_hour)
    for day, now in ((MARCH, datetime(2027, 4, 2, tzinfo=UTC)), (APRIL, datetime(2027, 5, 2, tzinfo=UTC))):
        months.close(day=day, now=now)
    rows = TaxDocument.objects.exclude(advance=None) | TaxDocument.objects.filter(kind=Kind.INVOICE)
    by_fact = {(row.advance.entry_key.split(":")[-1] if row.advance else row.items.get().cdr): row for row in rows}
    told = [(str(by_fact[fact].dated_on), by_fact[fact].financial_year) for fact in ("old", old, "new", new)]
    assert told == [
        ("2027-03-31", "2026-27"), ("2027-03-31", "2026-27"), ("2027-04-01", "2027-28"), ("2027-04-30", "2027-28"),
    ]  # fmt: skip
    assert by_fact[old].number == "FC/26-27/0000001"
    assert by_fact[new].number == "FC/27-28/0000001"
    assert balances(organisation)["wallet"] == MONEY + 600_00 - 2 * 212_00
    nothing_is_unexplained(datetime(2027, 5, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("meter_start_wh", "meter_stop_wh", "samples"),
    [(50_000, 40_000, []), (-5_000, -9_000, []), (1_000, -1, []), (0, None, [-2_000, -8_000])],
)
def test_a_meter_that_runs_backwards_or_below_zero_moves_no_money(
    organisation: Organisation, meter_start_wh: int, meter_stop_wh: int | None, samples: list[int]
) -> None:
    fleet = fleet_of(organisation)
    before = balances(organisation)
    ref = start(fleet, meter_start_wh=meter_start_wh).transaction_ref
    for number, wh in enumerate(samples, start=1):
        sample(fleet, ref, 5 * number, wh)
    stop(fleet, ref, meter_stop_wh=meter_stop_wh)
    tasks.sweep_unrated()
    cdr = CDR.objects.get()
    assert (cdr.energy_wh, cdr.is_blocked, cdr.captured_at) == (0, True, None)
    assert "odd_meter" in set(BillingException.objects.open().values_list("kind", flat=True))
    assert balances(organisation) == before
    assert Wallet.objects.get().held_paise > 0  # kept until a person has decided
    assert verification.differences() == {}


def copies_of(row: models.Model, count: int, **changed: Any) -> list[Any]:
    fields = {each.attname: getattr(row, each.attname) for each in row._meta.concrete_fields if each.attname != "id"}
    others = [{name: value(number) for name, value in changed.items()} for number in range(count)]
    made = type(row)._default_manager.bulk_create(type(row)(**fields | other) for other in others)
    return list(made)


def test_an_invoice_of_a_thousand_and_one_sessions_is_paid_to_the_paisa(organisation: Organisation) -> None:
    """Each of them charged; more than the portal takes lines, so that they are summed, and all in the annexure."""
    make_supplier(einvoice_from=NOVEMBER)
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=300_000_00)
    first = charge(fleet, energy_wh=10_001)
    session, verdict = first.session, ReconciliationVerdict.objects.get()
    sessions = copies_of(session, 1_000, transaction_ref="m{}".format, start_key="m{}".format)
    unpriced: dict[str, Any] = dict.fromkeys(("taxable_paise", "tax_paise", "total_paise", "rated_at", "captured_at"))
    unpriced |= dict.fromkeys(("cgst_paise", "sgst_paise", "igst_paise"), 0) | {"explanation": []}
    for name, value in unpriced.items():
        setattr(first, name, value)
    copies_of(first, 1_000, session_id=lambda number: sessions[number].pk)
    copies_of(verdict, 1_000, session_id=lambda number: sessions[number].pk)
    while batches.charge_waiting(now=AFTER_NOVEMBER)[0]:
        pass
    assert LedgerTransfer.objects.filter(kind="charge").values("session").distinct().count() == 1_001
    months.close(day=NOVEMBER, now=AFTER_NOVEMBER)
    invoice = TaxDocument.objects.get(kind=Kind.INVOICE)
    assert (invoice.annexure_rows, invoice.lines.count(), invoice.taxable_paise) == (1_001, 1, 1_001 * 180_02)
    assert invoice.cgst_paise == invoice.sgst_paise == (1_001 * 18_002 * 9 + 50) // 100
    assert len(json.loads(files.OF_A_DOCUMENT["json"](invoice).read())["ItemList"]) == 1
    assert files.OF_A_DOCUMENT["csv"](invoice).read().count(b"\n") == 1_001 + 1
    told = balances(organisation)
    assert (told["wallet"], told["receivable"]) == (300_000_00 - invoice.total_paise, 0)
    assert ChargingSession.objects.count() == 1_001
    nothing_is_unexplained()
