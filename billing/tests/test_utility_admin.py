"""Finance enters, imports, divides and posts electricity bills at its desk; strangers see none of it."""

from collections.abc import Iterator
from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import LedgerTransfer
from billing.tests.factories import Fleet, make_fleet, make_site
from billing.tests.test_utility_bills import GOOD, HEADER, LATER, TOD, charge, november, quarters, record
from billing.tests.test_utility_bills import feed as green_button
from billing.utility import dividing
from billing.utility.green_button import reading
from billing.utility.models import UtilityAllocation, UtilityBill, UtilityReading, UtilitySupply
from fleetcharge.accounts.models import Organisation, User
from stations.models import Location


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation, money_paise=1_00_000_00)
    fleet.location.organisation = organisation
    fleet.location.save()
    return fleet


@pytest.fixture
def supply(fleet: Fleet) -> UtilitySupply:
    return UtilitySupply.objects.create(
        organisation=fleet.organisation, location=fleet.location, utility="BESCOM", consumer_number="C-4711", slots=TOD
    )


@pytest.fixture
def desk(client: Client, finance: User, time_machine_at_later: None) -> Iterator[Client]:
    client.force_login(finance)
    yield client


@pytest.fixture
def time_machine_at_later(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.utils import timezone

    monkeypatch.setattr(timezone, "now", lambda: LATER)


def depot(organisation: Organisation) -> Location:
    _, place = make_site(organisation)
    place.organisation = organisation
    place.save()
    return place


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:billing_{model}_{page}", args=args)


def upload(text: str | bytes, **fields: str) -> dict[str, object]:
    data = text.encode() if isinstance(text, str) else text
    return {"file": SimpleUploadedFile("x.csv", data), **fields}


def test_a_supply_is_made_for_an_own_depot_with_slots_that_are_a_day(
    desk: Client, fleet: Fleet, other_organisation: Organisation
) -> None:
    theirs = depot(other_organisation)
    told = {
        "location": fleet.location.pk, "utility": "BESCOM", "consumer_number": "C-1", "sanctioned_va": 0,
        "contract_va": 100_000, "slots": '[{"name": "A", "from": "00:00", "to": "12:00"}]', "block_minutes": 15,
        "demand_rule": "peak", "losses_rule": "kwh", "fixed_rule": "vehicle_day", "loss_alarm_percent": 8,
    }  # fmt: skip
    page = desk.post(url("utilitysupply", "add"), told)
    assert "12:00 is in no slot" in page.content.decode()
    desk.post(url("utilitysupply", "add"), {**told, "slots": "[]", "location": theirs.pk})
    assert UtilitySupply.objects.count() == 0
    desk.post(url("utilitysupply", "add"), {**told, "slots": "[]"})
    assert UtilitySupply.objects.get().organisation == fleet.organisation


def test_a_bill_is_entered_divided_posted_and_taken_back(desk: Client, fleet: Fleet, supply: UtilitySupply) -> None:
    charge(fleet)
    form = {
        "number": "B-1", "starts_on": "2026-11-01", "ends_on": "2026-11-30", "kwh_1": "11", "energy_1": "1100.00",
        "demand": "99.99", "arrears": "5",
    }  # fmt: skip
    enter = url("utilitysupply", "enter_bill", supply.pk)
    assert "Peak: kWh" in desk.get(enter).content.decode()
    assert "is below zero" in desk.post(enter, {**form, "fixed": "-1"}).content.decode()
    desk.post(enter, form)
    bill = UtilityBill.objects.get()
    assert (bill.charges_paise, bill.arrears_paise) == (1_199_99, 5_00)
    assert "₹1,204.99" in desk.get(url("utilitybill", "change", bill.pk)).content.decode()
    desk.get(url("utilitybill", "divide", bill.pk))
    assert not UtilityAllocation.objects.exists()
    desk.post(url("utilitybill", "divide", bill.pk))
    row = UtilityAllocation.objects.get()
    page = desk.get(url("utilityallocation", "change", row.pk)).content.decode()
    assert fleet.vehicle.registration in page and "₹1,199.99" in page and "9.0 %" in page
    post, back = (url("utilityallocation", name, row.pk) for name in ("post_it", "take_back"))
    assert offered(desk, row) == {post}
    desk.get(post)
    assert not LedgerTransfer.objects.filter(kind="utility").exists()
    desk.post(post)
    assert LedgerTransfer.objects.filter(kind="utility").count() == 1
    assert offered(desk, row) == {back}
    desk.post(back, {"reason": "disputed"})
    row.refresh_from_db()
    assert (row.reversed_at, offered(desk, row)) == (LATER, set())
    lines = b"".join(desk.get(url("utilityallocation", "export", row.pk)).streaming_content).decode().splitlines()
    assert len(lines) == 4 and lines[-1].endswith("1199.99")
    withdraw = url("utilitybill", "withdraw", bill.pk)
    assert withdraw in desk.get(url("utilitybill", "change", bill.pk)).content.decode()
    desk.post(withdraw, {"reason": "wrong"})
    assert UtilityBill.objects.get().withdrawn_at == LATER
    assert withdraw not in desk.get(url("utilitybill", "change", bill.pk)).content.decode()


def offered(desk: Client, row: UtilityAllocation) -> set[str]:
    page = desk.get(url("utilityallocation", "change", row.pk)).content.decode()
    addresses = {url("utilityallocation", name, row.pk) for name in ("post_it", "take_back")}
    return {address for address in addresses if f'href="{address}"' in page}


def test_a_sheet_is_tried_and_every_rejected_row_is_shown(desk: Client, supply: UtilitySupply) -> None:
    page = url("utilitysupply", "import_bills")
    told = desk.post(page, upload(HEADER + GOOD, is_trial="on")).content.decode()
    assert "This was a trial" in told and UtilityBill.objects.count() == 0
    told = desk.post(page, upload(HEADER + GOOD + "C-9,B-8,2026-11-01,2026-11-30,,1,1,1,1,1,\n")).content.decode()
    assert "no supply of yours" in told and UtilityBill.objects.count() == 0
    desk.post(page, upload("\ufeff" + HEADER + GOOD))
    assert UtilityBill.objects.get().charges_paise == 2_330_00
    assert "is no CSV" in desk.post(page, upload(b"\xff\xfe\x00")).content.decode()


def test_readings_go_in_and_out_as_they_are(desk: Client, supply: UtilitySupply, fleet: Fleet) -> None:
    page = url("utilitysupply", "import_readings", supply.pk)
    assert "entities_forbidden" in desk.post(page, upload("<!DOCTYPE x><feed/>")).content.decode()
    desk.post(page, upload(green_button(quarters())))
    assert UtilityReading.objects.count() == 96
    record(supply)
    out = b"".join(desk.get(url("utilitysupply", "export_readings", supply.pk)).streaming_content)
    told = reading.read(out)
    assert list(told.readings) == quarters()
    assert [(s.paise, dict(s.items)["energy:Peak"]) for s in told.summaries] == [(2_485_01, 1_200_00)]
    charge(fleet)
    out = b"".join(desk.get(url("utilitysupply", "export_sessions", supply.pk)).streaming_content)
    assert sum(row.energy_wh for row in reading.read(out).readings) == 10_000
    template = desk.get(url("utilitysupply", "bill_template", supply.pk)).content.decode()
    assert template.splitlines()[1] == "C-4711"


def test_a_stranger_finds_nothing(client: Client, stranger: User, supply: UtilitySupply, fleet: Fleet) -> None:
    charge(fleet)
    row, _ = dividing.divide(bill_id=record(supply).pk, actor=None, now=LATER)
    client.force_login(stranger)
    addresses = [
        url("utilitysupply", name, supply.pk) for name in ("enter_bill", "export_readings", "bill_template", "change")
    ]
    addresses += [url("utilitybill", "divide", row.bill_id), url("utilityallocation", "export", row.pk)]
    for address in addresses:
        assert client.get(address).status_code == 302, address
    client.post(url("utilityallocation", "post_it", row.pk))
    assert not LedgerTransfer.objects.filter(kind="utility").exists()
    told = client.post(url("utilitysupply", "import_bills"), upload(HEADER + GOOD)).content.decode()
    assert "no supply of yours" in told
    for model in ("utilitysupply", "utilitybill", "utilityallocation"):
        assert client.get(url(model, "changelist")).context_data["cl"].result_count == 0


@pytest.mark.parametrize("model", ["utilitysupply", "utilitybill", "utilityallocation"])
def test_no_query_per_row(desk: Client, fleet: Fleet, supply: UtilitySupply, model: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert desk.get(url(model, "changelist")).status_code == 200
        return len(seen)

    def add(number: int) -> None:
        place = depot(fleet.organisation)
        other = UtilitySupply.objects.create(
            organisation=fleet.organisation, location=place, utility="BESCOM", consumer_number=f"C-{number}"
        )
        day = date(2026, 10, number)
        facts = november(number=f"X-{number}", starts_on=day, ends_on=day)
        charges = tuple(charge for charge in facts.charges if not charge.slot)
        bill = record(other, november(*charges, number=f"X-{number}", starts_on=day, ends_on=day))
        dividing.divide(bill_id=bill.pk, actor=None, now=LATER)

    add(1)
    queries()
    few = queries()
    for number in range(2, 5):
        add(number)
    assert queries() == few
