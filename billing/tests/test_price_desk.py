"""India's guideline and its ceilings, prices at the desk, and what a fleet reads of its own over the API."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from billing.approvals.models import Approval
from billing.prices import ceilings
from billing.prices.elements import Guideline, by_guideline, discounted, with_included
from billing.prices.models import NegotiatedRate, Plan, PlanVersion, PriceBenchmark, Subscription
from billing.prices.services import guidelines, plans, subscriptions
from billing.prices.services.guidelines import Benchmarks, MissingBenchmark
from billing.tests.factories import NOON, Fleet, make_fleet
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope, User
from stations.models import Connector, Tariff

TODAY = date(2026, 11, 20)
GUIDELINE = Guideline(Decimal("7.50"), Decimal("0.7"), Decimal("1.3"), "09:00", "16:00")


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    fleet.location.state = "Karnataka"
    fleet.location.save()
    return fleet


def benchmarks(**values: str) -> None:
    for name, value in values.items():
        PriceBenchmark.objects.create(
            name=name, state="Karnataka", value=value, valid_from=date(2026, 4, 1), source="KERC order"
        )


# --- pure ---------------------------------------------------------------------------------------------------------
def test_the_template_is_seven_tenths_in_solar_hours_and_thirteen_outside() -> None:
    elements = by_guideline(GUIDELINE, service_solar=Decimal(3), service_other=Decimal(4))
    assert [element["price_components"][0]["price"] for element in elements] == ["8.25", "13.75"]
    assert elements[0]["restrictions"] == {"start_time": "09:00", "end_time": "16:00"}
    ceiling = ceilings.Ceiling(GUIDELINE, Decimal(3), Decimal(4))
    assert ceilings.excesses(elements, ceiling, on=TODAY) == []
    dear = by_guideline(GUIDELINE, service_solar=Decimal("3.01"), service_other=Decimal(4))
    assert ceilings.excesses(dear, ceiling, on=TODAY) == [
        ceilings.Excess("09:00", "16:00", Decimal("8.26"), Decimal("8.25"))
    ]


def test_the_dearest_price_of_a_stretch_counts_on_whichever_day() -> None:
    part = {"type": "ENERGY", "price": "8.25"}
    elements: list[dict[str, Any]] = [
        {"price_components": [{**part, "price": "20"}], "restrictions": {"min_kwh": 30, "day_of_week": ["SUNDAY"]}},
        {"price_components": [part]},
    ]
    ceiling = ceilings.Ceiling(GUIDELINE, Decimal(3), Decimal(4))
    found = ceilings.excesses(elements, ceiling, on=TODAY)
    assert [(each.start, each.end, int(each.price)) for each in found] == [
        ("00:00", "09:00", 20), ("09:00", "16:00", 20), ("16:00", "24:00", 20),
    ]  # fmt: skip


def test_a_discount_is_exact_and_included_energy_comes_first() -> None:
    elements = [{"price_components": [{"type": "ENERGY", "price": "17.99", "vat": "5", "step_size": 1}]}]
    [lower] = discounted(elements, Decimal("7.5"))
    assert lower["price_components"][0]["price"] == "16.64075"
    first, rest = with_included(elements, 12_345)
    assert first["restrictions"] == {"max_kwh": "12.345"}
    assert first["price_components"][0] == {"type": "ENERGY", "price": "0", "step_size": 1, "vat": "5"}
    assert rest == elements[0]
    assert with_included(elements, 0) == elements


# --- by benchmarks ------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_nothing_is_made_or_judged_by_a_benchmark_that_is_not_there(fleet: Fleet) -> None:
    asked: dict[str, Any] = {
        "source_id": fleet.source.pk, "external_id": "solar", "name": "Solar", "state": "Karnataka", "at": NOON,
        "service_solar": Decimal(3), "service_other": Decimal(4), "on": TODAY, "location_ids": [fleet.location.pk],
    }  # fmt: skip
    with pytest.raises(MissingBenchmark):
        guidelines.make_tariff(**asked)
    assert fleet.tariff is not None
    found = guidelines.judge(fleet.tariff, places=[("Karnataka", True)], benchmarks=Benchmarks(TODAY))
    assert (found.verdict, Tariff.objects.count()) == ("unknown", 1)
    benchmarks(acos="7.50", service_dc_solar="3", service_dc_other="4")
    tariff = guidelines.make_tariff(**asked)
    assert guidelines.make_tariff(**asked) == tariff
    assert Connector.objects.get(pk=fleet.connector.pk).tariff == tariff
    held = Benchmarks(TODAY)
    assert guidelines.judge(tariff, places=[("karnataka ", True)], benchmarks=held).verdict == "within"
    assert guidelines.judge(fleet.tariff, places=[("Karnataka", True)], benchmarks=held).verdict == "above"  # 18.00
    with pytest.raises(MissingBenchmark):
        Benchmarks(date(2026, 3, 31)).guideline("Karnataka")  # before its first day


# --- at the desk --------------------------------------------------------------------------------------------------
@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator@ours.example"))
    return client


def test_the_operator_publishes_a_plan_and_subscribes_a_fleet(operator: Client, fleet: Fleet) -> None:
    plan = Plan.objects.create(slug="depot", name="Depot")
    operator.post(f"/admin/billing/plan/{plan.pk}/publish/", {
        "fee": "2999.50", "included_kwh": "500", "pool": "organisation", "discount_percent": "5", "elements": "",
        "reason": "New",
    })  # fmt: skip
    version = PlanVersion.objects.get()
    assert (version.fee_paise, version.included_wh, int(version.discount_percent)) == (2_999_50, 500_000, 5)
    answer = operator.post("/admin/billing/subscription/subscribe/", {
        "organisation": fleet.organisation.pk, "plan": version.pk, "cycle": "calendar", "starts_on": "2026-11-01",
        "reason": "Signed",
    })  # fmt: skip
    row = Subscription.objects.get()
    assert answer["Location"] == f"/admin/billing/subscription/{row.pk}/change/"
    operator.post(f"/admin/billing/subscription/{row.pk}/end/", {"before": "2026-12-01", "reason": "Left"})
    row.refresh_from_db()
    assert row.ends_before == date(2026, 12, 1)
    assert AuditEntry.objects.filter(action__in=["publish", "subscribe", "end"]).count() == 3


def test_a_rate_is_asked_for_at_the_desk_and_waits(operator: Client, fleet: Fleet) -> None:
    asked = {
        "organisation": fleet.organisation.pk, "source": fleet.source.pk, "site": fleet.location.public_id,
        "name": "Depot rate", "elements": '[{"price_components": [{"type": "ENERGY", "price": "12"}]}]',
        "valid_from_0": "2026-12-01", "valid_from_1": "00:00", "reason": "Contract",
    }  # fmt: skip
    assert operator.post("/admin/billing/negotiatedrate/ask/", {**asked, "elements": "[1]"}).status_code == 200
    assert operator.post("/admin/billing/negotiatedrate/ask/", asked).status_code == 302
    wish = Approval.objects.get()
    assert (wish.facts["location_id"], wish.state, NegotiatedRate.objects.count()) == (fleet.location.pk, "asked", 0)


def test_the_list_of_ceilings_needs_as_many_queries_for_many_tariffs_as_for_one(
    operator: Client, fleet: Fleet, django_assert_max_num_queries: Any
) -> None:
    benchmarks(acos="7.50", service_dc_solar="3", service_dc_other="4")
    for number in range(10):
        guidelines.make_tariff(
            source_id=fleet.source.pk, external_id=f"t{number}", name=f"T{number}", state="Karnataka", at=NOON,
            on=TODAY, service_solar=Decimal(number), service_other=Decimal(4),
        )  # fmt: skip
    operator.get("/admin/billing/ceilingcheck/")
    with django_assert_max_num_queries(14):
        page = operator.get("/admin/billing/ceilingcheck/").content.decode()
    assert "00:00–09:00: ₹18" in page
    assert fleet.tariff is not None
    assert operator.get(f"/admin/billing/ceilingcheck/{fleet.tariff.pk}/change/").status_code == 200


PAGES = ["negotiatedrate", "plan", "planversion", "subscription", "subscriptionfee", "allowanceuse", "pricebenchmark"]


def test_every_page_opens(operator: Client, fleet: Fleet) -> None:
    version = plans.publish(plan_id=Plan.objects.create(slug="p", name="P").pk, fee_paise=1)
    row = subscriptions.subscribe(
        organisation_id=fleet.organisation.pk, plan_version_id=version.pk, starts_on=TODAY, key="k"
    )
    assert {operator.get(f"/admin/billing/{page}/").status_code for page in PAGES} == {200}
    assert operator.get(f"/admin/billing/subscription/{row.pk}/change/").status_code == 200


def test_a_fleets_owner_looks_and_decides_nothing(client: Client, owner: User, fleet: Fleet) -> None:
    client.force_login(owner)
    assert client.get("/admin/billing/negotiatedrate/").status_code == 200
    assert client.get("/admin/billing/negotiatedrate/ask/").status_code == 403
    assert client.get("/admin/billing/subscription/subscribe/").status_code == 403
    assert client.get("/admin/billing/plan/").status_code == 403


# --- over the API -------------------------------------------------------------------------------------------------
def test_a_fleet_reads_its_plan_and_what_is_left(fleet: Fleet, other_organisation: Organisation) -> None:
    version = plans.publish(
        plan_id=Plan.objects.create(slug="depot", name="Depot").pk, fee_paise=1_000_00, included_wh=300_000
    )
    Plan.objects.create(slug="old", name="Old", is_open=False)
    subscriptions.subscribe(
        organisation_id=fleet.organisation.pk, plan_version_id=version.pk, key="k",
        starts_on=NOON.date() - timedelta(days=400),
    )  # fmt: skip
    api, stranger = APIClient(), APIClient()
    for one, organisation in ((api, fleet.organisation), (stranger, other_organisation)):
        _, secret = accounts.create_api_key(organisation=organisation, name="k", scopes=[Scope.BILLING_READ])
        one.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    [plan] = api.get("/api/v1/subscription-plans/").json()["results"]
    assert (plan["slug"], plan["current"]["included_wh"]) == ("depot", 300_000)
    [row] = api.get("/api/v1/subscriptions/").json()["results"]
    assert (row["plan"], row["allowance"]["included_wh"], row["allowance"]["left_wh"]) == ("depot", 300_000, 300_000)
    for path in ("subscriptions", "subscription-fees", "negotiated-rates"):
        assert stranger.get(f"/api/v1/{path}/").json()["results"] == []
        assert api.get(f"/api/v1/{path}/").status_code == 200
