"""Each record of a network is priced by its own tariff and periods; finance gets a file where the two differ."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing import tasks
from billing.cdr_periods import read_periods
from billing.models import PriceCheck
from billing.services import rating, tariffs
from billing.tests import test_roaming
from billing.tests.test_api import client_for
from billing.tests.test_roaming import NOW, bill, price
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.demo.peers import objects
from stations.cpo.ocpi.dialects import V221
from stations.cpo.ocpi.taking import take_tariff
from stations.models import Connector, Source, Tariff

pytestmark = pytest.mark.django_db
source = test_roaming.source


def priced_by(source: Source, **changes: Any) -> None:
    """VoltGrid's only tariff, from the beginning on."""
    Connector.objects.update(tariff=None)
    Tariff.objects.all().delete()
    raw = objects.tariff("2.2.1", **changes)
    take_tariff(source, V221.read("tariff", raw, ("IN", "VLT")), NOW.replace(month=1))


def energy(price: float, **restrictions: Any) -> dict[str, Any]:
    component = {"type": "ENERGY", "price": price, "step_size": 1, "vat": 18.0}
    return {"price_components": [component], **({"restrictions": restrictions} if restrictions else {})}


def record(source: Source, periods: list[dict[str, Any]], before: float, number: str = "C1", **changes: Any) -> int:
    """The difference that a record of 20 kWh with these periods and this price comes to."""
    cost = {"excl_vat": before, "incl_vat": round(before * 1.18, 2)}
    tariff = Tariff.objects.get()
    elements = json.loads(json.dumps(tariff.elements))
    named = [objects.tariff("2.2.1", elements=elements)]
    facts = {"charging_periods": periods, "total_cost": cost, "total_energy_cost": cost, "tariffs": named, **changes}
    difference = price(bill(source, number, **facts))
    assert difference is not None
    return difference


def test_limits_of_the_tariff_are_kept(source: Source) -> None:
    priced_by(source, max_price={"excl_vat": 300.0, "incl_vat": 354.0})
    assert record(source, [objects.period(objects.STAMP, ENERGY=20.0, TIME=0.5)], 300.0) == 0
    dimensions = [line["dimension"] for line in PriceCheck.objects.get().explanation]
    assert dimensions == ["ENERGY", "MAX_PRICE", "CGST", "SGST"]


def test_the_periods_decide_where_the_moment_does(source: Source) -> None:
    """06:00 UTC is 11:30 in India: eight of twenty kWh are drawn before noon, and cost less."""
    priced_by(source, elements=[energy(10.0, end_time="12:00"), energy(20.0)])
    halves = [
        objects.period("2026-11-21T06:00:00Z", ENERGY=8.0, TIME=0.5),
        objects.period("2026-11-21T06:30:00Z", ENERGY=12.0, TIME=0.5),
    ]
    times = {"end_date_time": "2026-11-21T07:00:00Z", "total_time": 1.0}
    assert record(source, halves, 80.0 + 240.0, **times) == 0


def test_power_is_read_from_the_periods(source: Source) -> None:
    priced_by(source, elements=[energy(10.0, max_power=32), energy(20.0)])
    slow = objects.period("2026-11-21T06:00:00Z", ENERGY=8.0, TIME=0.25, MAX_POWER=31.9)
    fast = objects.period("2026-11-21T06:15:00Z", ENERGY=12.0, TIME=0.25, MAX_POWER=50.0)
    assert record(source, [slow, fast], 80.0 + 240.0) == 0


def test_a_record_that_contradicts_itself_is_priced_by_its_totals_and_says_so(source: Source) -> None:
    priced_by(source, elements=[energy(10.0)])
    assert record(source, [objects.period(objects.STAMP, ENERGY=33.0, TIME=0.5)], 330.0) == 23_600 - 38_940
    rules = {found["rule"]: found["text"] for found in PriceCheck.objects.get().findings}
    assert rules["periods"] == "The record contradicts itself: its periods hold 33.000 kWh, its total 20.000"


def test_a_reservation_is_part_of_the_price(source: Source) -> None:
    time = {"price_components": [{"type": "TIME", "price": 60, "step_size": 1, "vat": 18.0}]}
    priced_by(source, elements=[{**time, "restrictions": {"reservation": "RESERVATION"}}, energy(10.0)])
    reserved = objects.period("2026-11-21T05:50:00Z", RESERVATION_TIME=0.25)
    charged = objects.period("2026-11-21T06:00:00Z", ENERGY=20.0, TIME=0.5)
    assert record(source, [reserved, charged], 215.0) == 0
    dimensions = [line["dimension"] for line in PriceCheck.objects.get().explanation]
    assert dimensions == ["ENERGY", "RESERVATION_TIME", "CGST", "SGST"]


def test_prices_with_tax_in_them(source: Source) -> None:
    """OCPI 2.3.0, tax_included YES."""
    priced_by(source, tax_included="YES", elements=[energy(11.8)])
    assert record(source, [objects.period(objects.STAMP, ENERGY=20.0, TIME=0.5)], 200.0) == 0


def test_a_tariff_applies_within_its_own_validity(source: Source) -> None:
    priced_by(source, end_date_time="2026-11-01T00:00:00Z")
    connector = Connector.objects.select_related("evse__location").filter(evse__uid="E1-1").get()
    Connector.objects.filter(pk=connector.pk).update(tariff=Tariff.objects.get(), tariff_ids=["DAY", "NEW"])
    connector.refresh_from_db()
    assert tariffs.tariff_for(connector=connector, at=NOW) is None
    new = objects.tariff("2.2.1", id="NEW", start_date_time="2026-11-01T00:00:00Z", elements=[energy(30.0)])
    take_tariff(source, new, NOW.replace(month=1))
    found = tariffs.tariff_for(connector=connector, at=NOW)
    assert found is not None
    assert found.external_id == "NEW"
    before = tariffs.tariff_for(connector=connector, at=NOW.replace(month=10))
    assert before is not None
    assert before.external_id == "DAY"
    offer = tariffs.offer_at(connector=connector, energy_wh=10_000, duration_s=3600, at=NOW)
    quoted = tariffs.quote_at(connector=connector, energy_wh=10_000, duration_s=3600, at=NOW)
    assert offer is not None
    assert offer.rated.total_paise == quoted == 354_00


def test_a_price_for_card_payers_is_none_for_us(source: Source) -> None:
    priced_by(source, type="AD_HOC_PAYMENT")
    Connector.objects.update(tariff=Tariff.objects.get())
    connector = Connector.objects.select_related("evse__location").filter(evse__uid="E1-1").get()
    assert tariffs.quote_at(connector=connector, energy_wh=1_000, duration_s=60, at=NOW) is None


def test_a_comparison_that_was_missed_is_made_by_the_sweep(source: Source) -> None:
    cdr = bill(source)
    assert cdr is not None
    rating.rate_and_capture(cdr_id=cdr.pk)
    assert not PriceCheck.objects.exists()
    tasks.sweep_roaming()
    assert PriceCheck.objects.get().state == "agrees"


def test_charging_comes_before_parking_within_a_period() -> None:
    told = read_periods(
        [objects.period(objects.STAMP, ENERGY=2.0, TIME=0.5, PARKING_TIME=0.25)], started_at=NOW, ended_at=NOW,
        energy_wh=2_000, charging_seconds=1800, idle_seconds=900,
    )  # fmt: skip
    assert [(period.seconds, period.energy_wh, period.is_parking) for period in told.periods] == [
        (1800, 2_000, False), (900, 0, True),
    ]  # fmt: skip
    assert not told.problems


# --- the file ---------------------------------------------------------------------------------------------------
@pytest.fixture
def disputed(source: Source) -> PriceCheck:
    changes: dict[str, Any] = {"total_cost": {"excl_vat": 450.0, "incl_vat": 531.0}, "session_id": "=2+5"}
    price(bill(source, **changes))
    return PriceCheck.objects.disputed().get()


def test_finance_downloads_the_dispute(disputed: PriceCheck, organisation: Organisation) -> None:
    client = client_for(organisation, Scope.BILLING_READ)
    listed = client.get("/api/v1/price-checks/", {"state": "differs"}).json()["results"]
    assert [(row["id"], row["difference_paise"]) for row in listed] == [(disputed.pk, 7080)]
    answer = client.get(f"/api/v1/price-checks/{disputed.pk}/dispute/")
    assert answer["Content-Disposition"] == 'attachment; filename="dispute-volt-IN-VLT-C1.csv"'
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert ["total", "With tax", "", "", "460.20", "531.00", ""] in rows
    assert ["total", "Asked too much", "", "", "", "70.80", "INR"] in rows
    assert ["our price", "ENERGY", "20.000 kWh", "1950 paise", "390.00", "", ""] in rows
    assert ["record", "session", "", "", "", "", "'=2+5"] in rows  # nothing that a spreadsheet would run
    pack = client.get(f"/api/v1/price-checks/{disputed.pk}/dispute/?as=json").json()
    assert pack["record_as_sent"]["id"] == "C1"
    assert pack["tariff"]["version"] == 1
    assert client.get(f"/api/v1/price-checks/{disputed.pk}/dispute/?as=exe").status_code == 400


def test_the_desk_has_the_file_too(disputed: PriceCheck, client: Client, finance: User) -> None:
    client.force_login(finance)
    page = client.get(reverse("admin:billing_pricecheck_change", args=[disputed.pk]))
    assert page.status_code == 200
    assert "Its parts do not add up to its total" in page.content.decode()
    answer = client.get(reverse("admin:billing_pricecheck_dispute_csv", args=[disputed.pk]))
    assert answer["Content-Type"].startswith("text/csv")


def test_another_fleet_sees_nothing_of_it(disputed: PriceCheck, other_organisation: Organisation) -> None:
    stranger = client_for(other_organisation, Scope.BILLING_READ)
    assert stranger.get(f"/api/v1/price-checks/{disputed.pk}/dispute/").status_code == 404
    assert stranger.get("/api/v1/price-checks/").json()["results"] == []
