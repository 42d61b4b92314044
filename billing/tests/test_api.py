"""The billing API shows a tenant its own rows, priced and explained, and takes decisions with a reason."""

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from billing.models import CDR, BillingException, ChargingSession, MeterValue
from billing.services import ending, rating, reconciliation
from billing.tests.factories import NOON, Fleet, make_fleet, sample, start, stop
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key

LISTS = ["sessions", "cdrs", "ledger", "exceptions"]


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    begin_and_finish(fleet)
    start(fleet, id_token="NOBODY", connector_id=2)
    return fleet


def begin_and_finish(fleet: Fleet) -> CDR:
    started = start(fleet)
    MeterValue.objects.create(
        charger=fleet.charger, evse_number=1, transaction_ref=started.transaction_ref, at=NOON + timedelta(minutes=10),
        energy_wh=5_000, power_w=20_000, soc_percent=44.5, sampled=[], dedupe_key=started.session_id.to_bytes(16),
    )  # fmt: skip
    stop(fleet, started.transaction_ref)
    cdr = CDR.objects.latest("pk")
    rating.rate_and_capture(cdr_id=cdr.pk, now=NOON)
    reconciliation.judge(session_id=cdr.session_id, now=NOON)
    return cdr


def client_for(organisation: Organisation, *scopes: str) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="k", scopes=scopes)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def api(organisation: Organisation) -> APIClient:
    return client_for(organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)


def test_a_session_comes_with_its_series_price_and_evidence(api: APIClient, fleet: Fleet) -> None:
    cdr = CDR.objects.get()
    body = api.get(f"/api/v1/sessions/{cdr.session_id}/").json()
    assert (body["energy_wh"], body["total_paise"], body["verdict"]) == (10_000, 212_40, "inconclusive")
    assert body["vehicle"] == {"id": fleet.vehicle.pk, "registration": fleet.vehicle.registration}
    assert body["connector"] == fleet.connector.public_id
    assert [sample["soc_percent"] for sample in body["meter_values"]] == [44.5]
    assert body["cdr"]["explanation"][0] == {
        "dimension": "ENERGY", "quantity": "10.000", "unit": "kWh", "unit_price_paise": "1800", "amount_paise": 180_00,
    }  # fmt: skip
    assert body["evidence"]["findings"][0]["rule"] == "L3"


def test_a_running_session_has_no_price_yet(api: APIClient, fleet: Fleet) -> None:
    [running] = api.get("/api/v1/sessions/", {"state": "active"}).json()["results"]
    assert (running["total_paise"], running["verdict"], running["vehicle"]) == (None, None, None)
    assert api.get(f"/api/v1/sessions/{running['id']}/").json()["cdr"] is None


def test_a_corrected_session_tells_what_was_missing_and_what_it_changed(
    api: APIClient, organisation: Organisation
) -> None:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    started = start(fleet)
    sample(fleet, started.transaction_ref, 10, 7_000)
    sample(fleet, started.transaction_ref, 90, 9_000)
    session = ChargingSession.objects.get()
    ChargingSession.objects.update(suspect_reason="left")
    ended_at = NOON + timedelta(minutes=12)
    ending.end_as_estimated(session_id=session.pk, why="left", not_after=ended_at, now=ended_at)
    rating.rate_and_capture(cdr_id=CDR.objects.get().pk, now=ended_at)
    body = api.get(f"/api/v1/sessions/{session.pk}/").json()
    assert (body["quality"], body["quality_reasons"]) == ("estimated", ["missing_stop"])
    assert [gap["kind"] for gap in body["gaps"]] == ["stop", "samples"]
    assert {row["field"] for row in body["corrections"]} == {"ended_at", "stop_reason", "is_stop_estimated"}
    assert [row["is_after_stop"] for row in body["meter_values"]] == [False, True]
    stop(fleet, started.transaction_ref, ended_at=ended_at, meter_stop_wh=7_500)
    body = api.get(f"/api/v1/sessions/{session.pk}/").json()
    [adjustment] = body["adjustments"]
    assert (adjustment["energy_wh"], adjustment["taxable_paise"], body["quality"]) == (6_500, 9_00, "billable")
    assert body["total_paise"] == body["cdr"]["total_paise"] + adjustment["total_paise"] == 6_500 * 2124 // 1000


def test_filters(api: APIClient, fleet: Fleet) -> None:
    def count(path: str, **query: object) -> int:
        return len(api.get(f"/api/v1/{path}/", query).json()["results"])

    assert count("sessions", vehicle=fleet.vehicle.pk) == 1
    assert count("sessions", verdict="inconclusive") == 1
    assert count("sessions", started_after=(NOON + timedelta(seconds=1)).isoformat()) == 0
    assert count("ledger", account=f"wallet:{fleet.organisation.pk}") == 4
    assert count("ledger", account="output_cgst") == 1
    assert count("exceptions", is_open="true") == 1
    assert count("cdrs", is_blocked="true") == 0


def test_the_wallet_is_exact(api: APIClient, fleet: Fleet) -> None:
    assert api.get("/api/v1/wallet/").json() == {
        "available_paise": 10_000_00 - 212_40, "posted_paise": 10_000_00 - 212_40, "held_paise": 0,
        "credit_limit_paise": 0, "low_threshold_paise": 0, "currency": "INR", "state": "active",
    }  # fmt: skip


def test_an_exception_is_decided_once(api: APIClient, fleet: Fleet) -> None:
    row = BillingException.objects.get()
    address = f"/api/v1/exceptions/{row.pk}/resolve/"
    assert api.post(address, {}).json()["code"] == "invalid"
    assert api.post(address, {"reason": "guest"}).json()["resolution"] == "guest"
    again = api.post(address, {"reason": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "already_resolved")


@pytest.mark.parametrize("path", LISTS)
def test_a_stranger_sees_nothing(fleet: Fleet, other_organisation: Organisation, path: str) -> None:
    stranger = client_for(other_organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)
    assert stranger.get(f"/api/v1/{path}/").json()["results"] == []


def test_a_strangers_detail_is_404(fleet: Fleet, other_organisation: Organisation) -> None:
    stranger = client_for(other_organisation, Scope.BILLING_READ, Scope.BILLING_WRITE)
    row = BillingException.objects.get()
    for answer in (
        stranger.get(f"/api/v1/sessions/{CDR.objects.get().session_id}/"),
        stranger.post(f"/api/v1/exceptions/{row.pk}/resolve/", {"reason": "mine now"}),
        stranger.get("/api/v1/wallet/"),
    ):
        assert answer.status_code == 404
    row.refresh_from_db()
    assert row.resolved_at is None


@pytest.mark.parametrize("path", [*LISTS, "wallet"])
def test_reading_needs_the_scope(organisation: Organisation, path: str) -> None:
    assert client_for(organisation, Scope.VEHICLES_READ).get(f"/api/v1/{path}/").status_code == 403
    assert APIClient().get(f"/api/v1/{path}/").status_code == 401


def test_a_reader_decides_nothing(organisation: Organisation, fleet: Fleet, dispatcher: User) -> None:
    row = BillingException.objects.get()
    reader = client_for(organisation, Scope.BILLING_READ)
    assert reader.post(f"/api/v1/exceptions/{row.pk}/resolve/", {"reason": "x"}).status_code == 403


@pytest.mark.parametrize("path", LISTS)
def test_lists_ask_the_database_a_constant_number_of_times(
    api: APIClient, fleet: Fleet, path: str, django_assert_num_queries
) -> None:
    for _ in range(4):
        begin_and_finish(fleet)
    api.get(f"/api/v1/{path}/")  # the key's last use is written once a minute
    with django_assert_num_queries(2):  # the key, the page
        api.get(f"/api/v1/{path}/")


def test_a_running_session_says_what_it_costs_so_far(api: APIClient, fleet: Fleet) -> None:
    started = start(fleet)
    ChargingSession.objects.filter(pk=started.session_id).update(energy_wh=5_000)
    assert api.get(f"/api/v1/sessions/{started.session_id}/").json()["running_paise"] == 106_20  # 5 kWh at 18, and tax
    over = CDR.objects.get().session_id
    assert api.get(f"/api/v1/sessions/{over}/").json()["running_paise"] is None
