"""A depot's bill from the file to the ledger: kept once, divided to the paisa, taken back by mirrored entries."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.test.utils import CaptureQueriesContext

from billing.models import BillingException, LedgerTransfer
from billing.services import ledger
from billing.tests.factories import NOON, Fleet, make_fleet, sample, start, stop
from billing.utility import allocation as a
from billing.utility import bills, dividing, imports, posting, report, sheet
from billing.utility.facts import BadBill, BillFacts, ChargeFacts, paise, watt_hours
from billing.utility.green_button import writing
from billing.utility.green_button.words import BadFeed, Reading, Summary
from billing.utility.models import UtilityBill, UtilityReading, UtilityShare, UtilitySupply
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from vehicles.models import Position, Vehicle

TOD = [{"name": "Peak", "from": "18:00", "to": "22:00"}, {"name": "Normal", "from": "22:00", "to": "18:00"}]
LATER = datetime(2026, 12, 5, 6, tzinfo=UTC)
MIDNIGHT = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)  # 1 November in India


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation, money_paise=1_00_000_00)


@pytest.fixture
def supply(fleet: Fleet) -> Iterator[UtilitySupply]:
    yield UtilitySupply.objects.create(
        organisation=fleet.organisation, location=fleet.location, utility="BESCOM", consumer_number="C-4711", slots=TOD
    )


def november(*charges: ChargeFacts, number: str = "B-1", **fields: Any) -> BillFacts:
    lines = charges or (
        ChargeFacts(a.ENERGY, 1_200_00, "Peak", 12_000), ChargeFacts(a.ENERGY, 800_00, "Normal", 10_000),
        ChargeFacts(a.DEMAND, 330_00), ChargeFacts(a.FIXED, 100_01), ChargeFacts(a.ARREARS, 55_00),
    )  # fmt: skip
    return BillFacts(
        number, fields.get("starts_on", date(2026, 11, 1)), fields.get("ends_on", date(2026, 11, 30)), lines
    )


def record(supply: UtilitySupply, facts: BillFacts | None = None) -> UtilityBill:
    bill, _ = bills.record_bill(supply_id=supply.pk, facts=facts or november(), origin="form", actor=None, now=LATER)
    return bill


def charge(fleet: Fleet, hours: float = 0, energy_wh: int = 10_000, **fields: Any) -> int:
    at = NOON + timedelta(hours=hours)
    begun = start(fleet, started_at=at, received_at=at, **fields)
    end = at + timedelta(minutes=30)
    stop(fleet, begun.transaction_ref, ended_at=end, received_at=end, meter_stop_wh=1_000 + energy_wh)
    return begun.session_id


def test_a_bill_is_kept_once_and_never_edited(supply: UtilitySupply, finance: User) -> None:
    bill = record(supply)
    assert (bill.charges_paise, bill.arrears_paise, bill.payable_paise) == (2_430_01, 55_00, 2_485_01)
    assert record(supply).pk == bill.pk
    with pytest.raises(Conflict, match="other content"):
        record(supply, november(ChargeFacts(a.FIXED, 1)))
    with pytest.raises(Conflict, match="period"):
        record(supply, november(number="B-2", starts_on=date(2026, 11, 30), ends_on=date(2026, 12, 4)))
    with pytest.raises(DatabaseError), transaction.atomic():
        UtilityBill.objects.update(charges_paise=1)
    bills.withdraw_bill(bill_id=bill.pk, actor=finance, reason="wrong month", now=LATER)
    assert record(supply, november(ChargeFacts(a.FIXED, 1))).charges_paise == 1


@pytest.mark.parametrize(
    ("facts", "column"),
    [
        (november(ChargeFacts(a.ENERGY, 1, "Solar")), "energy Solar"),
        (november(ChargeFacts(a.FIXED, -1)), "fixed"),
        (november(ChargeFacts(a.ENERGY, 1, "", -1)), "energy"),
        (november(ends_on=date(2026, 10, 30)), "to"),
        (november(number=""), "bill_number"),
        (november(ChargeFacts("magic", 1)), "magic"),
        (november(ChargeFacts(a.OTHER, -1)), "other"),
    ],
)
def test_what_cannot_be_is_refused(supply: UtilitySupply, facts: BillFacts, column: str) -> None:
    with pytest.raises(BadBill) as refusal:
        record(supply, facts)
    assert (refusal.value.column, UtilityBill.objects.count()) == (column, 0)


def test_people_write_rupees_and_kwh_as_they_like() -> None:
    assert (paise("₹ 1,23,456.78"), paise("-5"), watt_hours("12.5")) == (1_23_456_78, -5_00, 12_500)
    for text in ("1.005", "abc", "NaN", "1e40", ""):
        with pytest.raises(ValueError):
            paise(text)


def test_a_division_is_the_bill_and_says_who_made_the_peak(fleet: Fleet, supply: UtilitySupply) -> None:
    noon, evening = charge(fleet), charge(fleet, hours=7)  # 12:00 Normal, 19:00 Peak
    row, is_new = dividing.divide(bill_id=record(supply).pk, actor=None, now=LATER)
    assert (is_new, row.version, row.total_paise) == (True, 1, 2_430_01)
    shares = {share.session_id: share for share in row.shares.all()}
    assert set(shares) == {noon, evening, None}
    assert (shares[evening].energy_paise, shares[evening].losses_paise) == (1_000_00, 200_00)  # 10 of 12 kWh
    assert (shares[noon].energy_paise, shares[noon].losses_paise) == (800_00, 0)
    assert shares[noon].demand_paise + shares[evening].demand_paise == 330_00
    assert [shares[noon].fixed_paise, shares[evening].fixed_paise] == [100_01, 0]  # one vehicle, one day
    assert sum(share.total_paise for share in shares.values()) == 2_430_01
    assert (row.figures["loss_wh"], row.figures["loss_permille"]) == (2_000, 90)
    assert [share.session_id for share in report.culprits(row)] == [noon, evening]
    exception = BillingException.objects.get(kind="utility_loss")
    assert "9.0 %" in exception.title and exception.amount_paise == 200_00


def test_the_same_evidence_is_the_same_version_and_news_are_a_new_one(fleet: Fleet, supply: UtilitySupply) -> None:
    charge(fleet)
    bill = record(supply)
    first, _ = dividing.divide(bill_id=bill.pk, actor=None, now=LATER)
    again, is_new = dividing.divide(bill_id=bill.pk, actor=None, now=LATER + timedelta(days=1))
    assert (again.pk, is_new, UtilityShare.objects.count()) == (first.pk, False, 2)
    charge(fleet, hours=7)
    second, is_new = dividing.divide(bill_id=bill.pk, actor=None, now=LATER)
    assert (second.version, is_new) == (2, True)
    supply.losses_rule = "depot"
    supply.save()
    third, _ = dividing.divide(bill_id=bill.pk, actor=None, now=LATER)
    assert (third.version, third.shares.get(session=None).losses_paise) == (3, 200_00)
    with pytest.raises(DatabaseError), transaction.atomic():
        UtilityShare.objects.update(total_paise=0)


def test_meter_values_say_in_which_slot_the_energy_was_drawn(fleet: Fleet, supply: UtilitySupply) -> None:
    """Plugged in at 17:45 until 18:15; nine of ten kWh came before six."""
    at = NOON + timedelta(hours=5, minutes=45)
    begun = start(fleet, started_at=at, received_at=at)
    sample(fleet, begun.transaction_ref, 5 * 60 + 59.9, 10_000)
    end = at + timedelta(minutes=30)
    stop(fleet, begun.transaction_ref, ended_at=end, received_at=end, meter_stop_wh=11_000)
    facts = november(ChargeFacts(a.ENERGY, 100_00, "Normal"), ChargeFacts(a.ENERGY, 100_00, "Peak"))
    facts = november(*facts.charges, ChargeFacts(a.DEMAND, 50_00))
    row, _ = dividing.divide(bill_id=record(supply, facts).pk, actor=None, now=LATER)
    assert row.figures["peak_wh"] in {8_993, 8_994, 8_995, 9_000, 9_006, 9_007}
    assert row.figures["peak_blocks"] == ["2026-11-20T12:15:00+00:00"]


def test_a_period_that_is_not_over_waits(fleet: Fleet, supply: UtilitySupply) -> None:
    with pytest.raises(Conflict, match="not over"):
        dividing.divide(bill_id=record(supply).pk, actor=None, now=NOON)


def test_a_guest_stays_unnamed(fleet: Fleet, supply: UtilitySupply, other_organisation: Organisation) -> None:
    guest = make_fleet(other_organisation)
    charge(fleet, id_token=guest.token.uid)
    row, _ = dividing.divide(bill_id=record(supply).pk, actor=None, now=LATER)
    share = row.shares.exclude(session=None).get()
    assert (share.is_guest, share.vehicle) == (True, None)
    assert {line.who: line.name for line in report.by_vehicle(row)} == {"guests": "", "depot": ""}


def test_the_ledger_gets_an_expense_per_vehicle_and_a_new_version_takes_its_place(
    fleet: Fleet, supply: UtilitySupply, finance: User
) -> None:
    Vehicle.objects.filter(pk=fleet.vehicle.pk).update(cost_centre="LAST-MILE")
    charge(fleet)
    bill = record(supply)
    first, _ = dividing.divide(bill_id=bill.pk, actor=finance, now=LATER)
    posting.post(allocation_id=first.pk, actor=finance, now=LATER)
    with pytest.raises(Conflict):
        posting.post(allocation_id=first.pk, actor=finance, now=LATER)
    cost, owed = f"electricity:{fleet.organisation.pk}", f"utility_payable:{fleet.organisation.pk}"
    assert (ledger.balance_paise(cost), ledger.balance_paise(owed)) == (2_430_01, 2_430_01)
    of_the_van = LedgerTransfer.objects.get(kind="utility", vehicle=fleet.vehicle)
    assert (of_the_van.cost_centre, of_the_van.location_id) == ("LAST-MILE", fleet.location.pk)
    with pytest.raises(Conflict, match="ledger"):
        bills.withdraw_bill(bill_id=bill.pk, actor=finance, reason="x", now=LATER)
    charge(fleet, hours=7)
    second, _ = dividing.divide(bill_id=bill.pk, actor=finance, now=LATER)
    posting.post(allocation_id=second.pk, actor=finance, now=LATER)
    first.refresh_from_db()
    assert (ledger.balance_paise(cost), first.reversed_at) == (2_430_01, LATER)
    posting.take_back(allocation_id=second.pk, actor=finance, reason="disputed", now=LATER)
    assert ledger.balance_paise(cost) == ledger.balance_paise(owed) == 0
    bills.withdraw_bill(bill_id=bill.pk, actor=finance, reason="disputed", now=LATER)


def test_what_was_taken_back_is_divided_again_and_posted(fleet: Fleet, supply: UtilitySupply, finance: User) -> None:
    charge(fleet)
    bill = record(supply)
    told: dict[str, Any] = {"actor": finance, "now": LATER}
    cost = f"electricity:{fleet.organisation.pk}"
    for version in (1, 2, 3):
        row, is_new = dividing.divide(bill_id=bill.pk, **told)
        assert (row.version, is_new) == (version, True)
        posting.post(allocation_id=row.pk, **told)
        assert ledger.balance_paise(cost) == row.total_paise
        assert dividing.divide(bill_id=bill.pk, **told) == (row, False)  # in the ledger: nothing new
        posting.take_back(allocation_id=row.pk, reason="disputed", **told)
        assert ledger.balance_paise(cost) == 0
        with pytest.raises(Conflict, match="divide the bill again"):
            posting.post(allocation_id=row.pk, **told)
    bills.withdraw_bill(bill_id=bill.pk, actor=finance, reason="disputed", now=LATER)
    assert set(bill.allocations.values_list("input_hash", flat=True)) == {row.input_hash}


def test_rupees_per_km_come_from_the_odometer(fleet: Fleet, supply: UtilitySupply) -> None:
    charge(fleet)
    for hours, odometer in ((0, 1_000_000), (5, None), (48, 1_150_000)):
        at = NOON + timedelta(hours=hours)
        Position.objects.create(
            vehicle=fleet.vehicle, fix_at=at, received_at=at, latitude_e7=1, longitude_e7=1, odometer_m=odometer
        )
    row, _ = dividing.divide(bill_id=record(supply).pk, actor=None, now=LATER)
    [line, _depot] = report.by_vehicle(row)
    assert (line.name, line.distance_m) == (fleet.vehicle.registration, 150_000)
    assert line.paise_per_km == (line.total_paise + 75) // 150


def test_a_month_of_sessions_is_divided_by_as_many_queries_as_one(fleet: Fleet, supply: UtilitySupply) -> None:
    def queries(number: str, day: int) -> int:
        bill = record(supply, november(number=number, starts_on=date(2026, 11, day), ends_on=date(2026, 11, day)))
        with CaptureQueriesContext(connection) as seen:
            dividing.divide(bill_id=bill.pk, actor=None, now=LATER)
        return len(seen)

    charge(fleet)
    one = queries("B-1", 20)
    for hour in range(6):
        charge(fleet, hours=24 + hour)
    assert queries("B-2", 21) == one


# --- files ----------------------------------------------------------------------------------------------------------


def feed(readings: list[Reading], summaries: list[Summary] | None = None) -> bytes:
    from zoneinfo import ZoneInfo

    pieces = writing.feed(
        key="x", title="Depot", zone=ZoneInfo("Asia/Kolkata"), readings=readings, summaries=summaries or [], at=LATER
    )
    return "".join(pieces).encode()


def quarters(count: int = 96, energy_wh: int = 250, since: datetime = MIDNIGHT) -> list[Reading]:
    return [Reading(since + number * timedelta(minutes=15), 900, energy_wh) for number in range(count)]


def take(supply: UtilitySupply, data: bytes, **fields: Any) -> imports.Taken:
    return imports.take(supply_id=supply.pk, data=data, actor=None, now=LATER, **fields)


def test_a_file_is_taken_once_and_a_trial_keeps_nothing(supply: UtilitySupply) -> None:
    items = (("energy:Peak", 100_00), ("duty", 9_00), ("something", 1_00))
    bill = Summary(MIDNIGHT, 30 * 86_400, 110_00, 24_000, items)
    data = feed(quarters(), [bill])
    assert take(supply, data, is_trial=True).readings == 96
    assert (UtilityReading.objects.count(), UtilityBill.objects.count()) == (0, 0)
    assert (take(supply, data).bills, take(supply, data).readings) == (1, 0)
    kept = UtilityBill.objects.get()
    assert (kept.starts_on, kept.ends_on, kept.charges_paise) == (date(2026, 11, 1), date(2026, 11, 30), 110_00)
    told = list(kept.charges.values_list("kind", "slot", "energy_wh"))
    assert told == [("energy", "Peak", 24_000), ("duty", "", None), ("other", "", None)]


@pytest.mark.parametrize(
    ("readings", "code"),
    [
        (quarters(1, 251), "differs"),
        (quarters(1, since=MIDNIGHT + timedelta(minutes=5)), "differs"),
        (quarters(97, since=LATER - timedelta(hours=24)), "in_the_future"),
    ],
)
def test_nothing_is_half_imported(supply: UtilitySupply, readings: list[Reading], code: str) -> None:
    take(supply, feed(quarters(2)))
    fresh = quarters(5, since=MIDNIGHT + timedelta(days=2))
    with pytest.raises(BadFeed) as refusal:
        take(supply, feed(sorted([*readings, *fresh])))
    assert (refusal.value.code, UtilityReading.objects.count()) == (code, 2)


def test_a_bill_that_was_entered_before_keeps_no_readings_out(supply: UtilitySupply) -> None:
    entered = record(supply, november(ChargeFacts(a.ENERGY, 115_00)))
    summaries = [Summary(MIDNIGHT - timedelta(days=31), 31 * 86_400, 90_00), Summary(MIDNIGHT, 30 * 86_400, 110_00)]
    taken = take(supply, feed(quarters(), summaries))
    assert (taken.readings, taken.bills, taken.bills_entered) == (96, 1, 1)
    assert UtilityBill.objects.get(starts_on=date(2026, 11, 1)) == entered
    with pytest.raises(BadFeed):  # one file against another is a doubt as before
        take(supply, feed([], [Summary(MIDNIGHT - timedelta(days=31), 31 * 86_400, 91_00)]))


@pytest.mark.parametrize(
    "entered",
    [
        [(date(2026, 10, 2), date(2026, 11, 1))],
        [(date(2026, 11, 1), date(2026, 11, 14)), (date(2026, 11, 16), date(2026, 11, 30))],
    ],
)
def test_a_summary_that_entered_bills_cover_in_part_is_refused(
    supply: UtilitySupply, entered: list[tuple[date, date]]
) -> None:
    for starts_on, ends_on in entered:
        record(supply, november(number=str(starts_on), starts_on=starts_on, ends_on=ends_on))
    with pytest.raises(BadFeed) as refusal:
        take(supply, feed(quarters(), [Summary(MIDNIGHT, 30 * 86_400, 110_00)]))
    assert (refusal.value.code, UtilityReading.objects.count()) == ("bill_differs", 0)


def test_a_summary_that_two_entered_bills_cover_is_passed_over(supply: UtilitySupply) -> None:
    for starts_on, ends_on in ((date(2026, 10, 20), date(2026, 11, 14)), (date(2026, 11, 15), date(2026, 11, 30))):
        record(supply, november(number=str(starts_on), starts_on=starts_on, ends_on=ends_on))
    taken = take(supply, feed(quarters(), [Summary(MIDNIGHT, 30 * 86_400, 110_00)]))
    assert (taken.readings, taken.bills, taken.bills_entered) == (96, 0, 1)


def test_a_file_of_another_zone_is_refused(supply: UtilitySupply) -> None:
    data = feed(quarters(2)).replace(b">19800<", b">0<")
    with pytest.raises(BadFeed) as refusal:
        take(supply, data)
    assert refusal.value.code == "time_zone"


def test_the_utilitys_readings_decide_the_peak_and_the_loss(fleet: Fleet, supply: UtilitySupply) -> None:
    charge(fleet)
    noon = MIDNIGHT + timedelta(days=19, hours=12)
    take(supply, feed([Reading(noon, 900, 6_000), Reading(noon + timedelta(minutes=15), 900, 5_500)]))
    row, _ = dividing.divide(bill_id=record(supply, november(ChargeFacts(a.ENERGY, 115_00))).pk, actor=None, now=LATER)
    assert (row.figures["metered_wh"], row.figures["loss_wh"], row.figures["peak_w"]) == (11_500, 1_500, 24_000)
    share = row.shares.exclude(session=None).get()
    assert (share.energy_paise, share.losses_paise) == (100_00, 15_00)


HEADER = "consumer_number,bill_number,from,to,due,kwh Peak,energy Peak,kwh Normal,energy Normal,demand,arrears\n"
GOOD = 'C-4711,B-7,2026-11-01,2026-11-30,2026-12-20,12,"1,200.00",10,800,330.00,55\n'


def read(supply: UtilitySupply, text: str, *, is_trial: bool = False) -> sheet.Report:
    return sheet.take(lines=text.splitlines(), supplies=[supply], actor=None, now=LATER, is_trial=is_trial)


def test_a_sheet_is_tried_then_taken(supply: UtilitySupply) -> None:
    trial = read(supply, HEADER + GOOD, is_trial=True)
    assert ([is_new for _, _, is_new in trial.bills], trial.total_paise) == ([True], 2_385_00)
    assert UtilityBill.objects.count() == 0
    read(supply, HEADER + GOOD)
    again = read(supply, HEADER + GOOD)
    assert ([is_new for _, _, is_new in again.bills], UtilityBill.objects.get().charges_paise) == ([False], 2_330_00)
    assert sheet.columns_of(supply)[7:13] == [
        "kwh Peak", "kvah Peak", "energy Peak", "kwh Normal", "kvah Normal", "energy Normal",
    ]  # fmt: skip


def test_every_rejected_row_is_reported_and_nothing_is_kept(supply: UtilitySupply) -> None:
    bad = [
        "C-9999,B-8,2026-11-01,2026-11-30,,1,1,1,1,1,",
        "C-4711,B-8,1 Nov,2026-11-30,,1,1.001,-5,1,x,",
        GOOD.strip().replace("B-7", "B-9"),  # overlaps the good one
    ]
    report_ = read(supply, HEADER + GOOD + "\n".join(bad))
    assert {(row.line, row.column) for row in report_.rejected} == {
        (3, "consumer_number"), (4, "from"), (4, "energy Peak"), (4, "demand"), (5, "bill_number"),
    }  # fmt: skip
    assert UtilityBill.objects.count() == 0


@pytest.mark.parametrize("text", ["", "a,b\n1,2", HEADER.replace("demand", "demand,demand"), HEADER + '"C-4711'])
def test_what_is_no_such_sheet_is_refused(supply: UtilitySupply, text: str) -> None:
    assert read(supply, text).rejected
