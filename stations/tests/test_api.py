"""The unified API: filters, distance, freshness, ETag, clear errors, and nothing of another fleet's depot."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Organisation, Scope
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.examples import A_STATION, A_STATUS_TABLE
from stations.models import Charger, Connector, Source
from stations.services import upsert_location
from stations.tests.factories import make_charger, make_public_connector, make_source


@pytest.fixture
def volt(db: None) -> Source:
    return make_source(slug="voltgrid", kind="ocpi-2.2.1")


@pytest.fixture
def get(organisation: Organisation) -> Any:
    _, secret = accounts.create_api_key(organisation=organisation, name="t", scopes=[Scope.STATIONS_READ])
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    return lambda path, **headers: client.get(f"/api/v1/{path}", headers=headers)


def free(source: Source, **fields: Any) -> Connector:
    return make_public_connector(source, status="available", heard_at=timezone.now(), **fields)


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [station["name"] for station in answer.json()["results"]]


def test_the_nearest_come_first_with_their_distance(get: Any, volt: Source) -> None:
    free(volt, name="Far", latitude=13.10, longitude=77.60)
    free(volt, name="Near", latitude=12.98, longitude=77.60)
    free(volt, name="Nearest", latitude=12.972, longitude=77.595)
    answer = get("stations/?near=12.9716,77.5946&limit=2")
    assert names(answer) == ["Nearest", "Near"]
    assert answer.json()["results"][0]["distance_m"] == pytest.approx(62, abs=3)
    assert names(get("stations/?near=12.9716,77.5946&radius_km=1")) == ["Nearest"]


def test_connectors_know_every_filter_of_the_sites(get: Any, volt: Source) -> None:
    blr = free(volt, name="Koramangala", plug="ccs2", max_power_w=60_000, latitude=12.935, longitude=77.624)
    far = free(volt, name="Connaught Place", plug="ccs2", max_power_w=120_000, latitude=28.63, longitude=77.22)

    def found(query: str) -> list[str]:
        answer = get(f"connectors/?{query}")
        assert answer.status_code == 200, answer.content
        return [row["public_id"] for row in answer.json()["results"]]

    assert found("bbox=77,12,78,13") == [blr.public_id]
    assert found("q=connaught") == [far.public_id]
    assert found("q=zzz") == []
    assert found("network=voltgrid&min_kw=100") == [far.public_id]
    assert found("network=nobody") == []
    assert found("near=28.6,77.2") == [far.public_id, blr.public_id]
    assert found("near=28.6,77.2&radius_km=10") == [far.public_id]
    assert found("near=28.6,77.2&available=true&min_kw=100") == [far.public_id]


def test_a_plug_that_its_network_no_longer_names_is_gone_everywhere(get: Any, volt: Source) -> None:
    def site(*plugs: ConnectorDoc) -> LocationDoc:
        evse = EvseDoc(uid="E1", connectors=plugs, raw_status="AVAILABLE", status="available")
        return LocationDoc(external_key="L1", name="Shrinking", latitude=12.97, longitude=77.59, evses=(evse,))

    def plug(number: str, kind: str) -> ConnectorDoc:
        return ConnectorDoc(number, kind, kind, "CABLE", "DC", 50_000)

    ccs, chademo = plug("1", "ccs2"), plug("2", "chademo")
    upsert_location(source=volt, doc=site(ccs, chademo), at=timezone.now())
    assert len(names(get("stations/?plug=chademo&available=true"))) == 1
    upsert_location(source=volt, doc=site(ccs), at=timezone.now())
    assert names(get("stations/?plug=chademo")) == []
    assert names(get("stations/?plug=chademo&near=12.9,77.6")) == []
    [shown] = get("stations/").json()["results"]
    assert [row["plug"] for row in shown["connectors"]] == ["ccs2"]
    assert len(get("connectors/status/").json()["rows"]) == 1
    upsert_location(source=volt, doc=site(chademo, ccs), at=timezone.now())
    assert sorted(row["plug"] for row in get("connectors/").json()["results"]) == ["ccs2", "chademo"]


def test_filters_by_plug_power_network_box_text_and_availability(get: Any, volt: Source) -> None:
    free(volt, name="CCS fast", plug="ccs2", max_power_w=120_000, latitude=12.95, longitude=77.65)
    free(volt, name="Slow", plug="type2_socket", max_power_w=7_400, latitude=13.05, longitude=77.55)
    make_public_connector(
        volt, name="Busy", plug="ccs2", max_power_w=60_000, status="charging", heard_at=timezone.now()
    )
    old = timezone.now() - timedelta(hours=2)
    make_public_connector(volt, name="Stale", plug="ccs2", max_power_w=60_000, status="available", heard_at=old)
    assert names(get("stations/?plug=ccs2&min_kw=100")) == ["CCS fast"]
    assert names(get("stations/?available=true")) == ["CCS fast", "Slow"]
    assert names(get("stations/?bbox=77.5,13.0,77.6,13.1")) == ["Slow"]
    assert names(get("stations/?q=slo")) == ["Slow"]
    assert names(get("stations/?network=nobody")) == []
    assert len(names(get("stations/?network=voltgrid"))) == 4


def test_a_station_shows_its_connectors_with_freshness(get: Any, volt: Source) -> None:
    connector = free(volt)
    body = get(f"stations/{connector.evse.location.public_id}/").json()
    assert (body["connectors_total"], body["connectors_available"]) == (1, 1)
    shown = body["connectors"][0]
    assert (shown["status"], shown["coarse_status"], shown["freshness"]) == ("available", "available", "live")
    assert get(f"connectors/{shown['public_id']}/").json()["is_reservable"] is True


def test_pages_are_followed_by_cursor(get: Any, volt: Source) -> None:
    for number in range(5):
        free(volt, name=f"S{number}")
    first = get("stations/?page_size=3").json()
    rest = get("stations/" + first["next"].split("/stations/")[1]).json()
    assert [s["name"] for s in first["results"] + rest["results"]] == [f"S{n}" for n in range(5)]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query",
    ["near=here", "near=95,77", "near=nan,77", "bbox=1,2,3", "bbox=78,13,77,12", "bbox=nan,1,2,3", "bbox=-500,0,500,3",
     "plug=tesla", "min_kw=lots", "min_kw=nan", "limit=0", "radius_km=5"],
)  # fmt: skip
def test_a_wrong_parameter_is_named(get: Any, query: str) -> None:
    answer = get(f"stations/?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert answer.json()["detail"].startswith(query.split("=")[0])


def test_a_strangers_depot_does_not_exist(get: Any, volt: Source, other_organisation: Organisation) -> None:
    depot = make_charger(other_organisation, name="Secret Depot").location
    connector = Connector.objects.get(evse__location=depot)
    free(volt, name="Public")
    assert names(get("stations/")) == ["Public"]
    assert get(f"stations/{depot.public_id}/").status_code == 404
    assert get(f"connectors/{connector.public_id}/").status_code == 404
    assert depot.public_id not in get("connectors/status/").content.decode()


def test_a_page_of_stations_costs_a_fixed_number_of_queries(
    get: Any, volt: Source, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        free(volt)
    get("stations/")  # the key's last use is written once a minute
    with django_assert_max_num_queries(8):
        assert len(names(get("stations/"))) == 30


def test_available_means_the_same_in_every_question(get: Any, volt: Source, organisation: Organisation) -> None:
    long_ago = timezone.now() - timedelta(hours=3)
    free(volt, name="Pushed", latitude=12.95, longitude=77.70)
    silent = make_source(slug="silent", kind="ocpi-2.2.1")
    free(silent, name="Silent", latitude=12.95, longitude=77.70)
    depot = make_charger(organisation, name="Depot", latitude=12.95, longitude=77.70)
    Connector.objects.update(status="available", heard_at=long_ago)
    Source.objects.filter(pk=volt.pk).update(last_push_at=timezone.now())
    Charger.objects.filter(pk=depot.pk).update(is_online=True)
    shown = {s["name"]: s["connectors_available"] for s in get("stations/").json()["results"]}
    assert shown == {"Pushed": 1, "Silent": 0, "Depot": 1}
    assert set(names(get("stations/?available=true"))) == {"Pushed", "Depot"}
    assert set(names(get("stations/?available=true&near=12.95,77.7"))) == {"Pushed", "Depot"}
    Connector.objects.update(heard_at=None)  # a socket that is open but has said nothing of this plug
    assert names(get("stations/?available=true")) == names(get("stations/?available=true&near=12.95,77.7")) == []


def test_the_nearest_within_text_and_box_is_exact(get: Any, volt: Source) -> None:
    for number in range(30):
        free(volt, name=f"Mall {number}", latitude=12.97 + number / 1000, longitude=77.60)
    free(volt, name="100% Green_Hub", latitude=13.20, longitude=77.60)
    assert names(get("stations/?near=12.97,77.6&q=green_&limit=1")) == ["100% Green_Hub"]
    assert names(get("stations/?near=12.97,77.6&q=100%25")) == ["100% Green_Hub"]
    assert names(get("stations/?near=12.97,77.6&bbox=77.5,13.1,77.7,13.3")) == ["100% Green_Hub"]


def test_networks_say_whether_this_fleet_may_charge_there(get: Any, volt: Source, organisation: Organisation) -> None:
    make_source(slug="own", organisation=organisation)
    assert [(n["slug"], n["has_access"]) for n in get("networks/").json()] == [("own", True), ("voltgrid", False)]


def test_the_examples_of_the_documentation_have_the_shape_of_answers(get: Any, volt: Source) -> None:
    free(volt)
    station = get("stations/").json()["results"][0]
    assert set(A_STATION.value) == set(station)
    assert set(A_STATION.value["connectors"][0]) == set(station["connectors"][0])
    table = get("connectors/status/").json()
    assert table["columns"] == A_STATUS_TABLE.value["columns"]
    assert len(table["rows"][0]) == len(A_STATUS_TABLE.value["rows"][0])


def test_without_a_key_the_answer_is_401(client: Client, db: None) -> None:
    answer = client.get("/api/v1/stations/")
    assert answer.status_code in {401, 403}
    assert set(answer.json()) == {"detail", "code"}
