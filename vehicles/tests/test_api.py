"""The vehicles API as a fleet, and as a stranger, sees it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.services import create_api_key
from vehicles import services
from vehicles.models import IdToken, Position, Shift, Stop, Stretch, UnknownDevice, Vehicle, VehicleModel
from vehicles.tests.factories import NOON, make_driver, make_model, make_state, make_vehicle

pytestmark = pytest.mark.django_db


def client_of(organisation, *scopes: str) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="test", scopes=scopes or Scope.values)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def api(organisation) -> APIClient:
    return client_of(organisation)


@pytest.fixture
def van(organisation) -> Vehicle:
    return make_vehicle(organisation, model=make_model(battery_wh=20_000, consumption_wh_per_km=200))


def add_position(vehicle: Vehicle, seconds: int, flags: int = 0) -> Position:
    return Position.objects.create(
        vehicle=vehicle,
        fix_at=NOON + timedelta(seconds=seconds),
        received_at=NOON,
        latitude_e7=129_756_000,
        longitude_e7=776_050_000 + seconds,
        soc_permille=443,
        flags=flags,
    )


def test_a_vehicle_is_shown_with_its_latest_state_and_range(api, van) -> None:
    make_state(van, soc_percent=25)
    body = api.get(f"/api/v1/vehicles/{van.pk}/").json()
    assert (body["registration"], body["model"]["battery_wh"]) == (van.registration, 20_000)
    assert (body["state"]["soc_percent"], body["range_left_km"]) == (25, 25)


def test_a_vehicle_that_never_reported_has_no_state(api, van) -> None:
    body = api.get(f"/api/v1/vehicles/{van.pk}/").json()
    assert (body["state"], body["range_left_km"]) == (None, None)


def test_the_list_costs_the_same_queries_for_two_vehicles_and_for_twenty(api, organisation) -> None:
    counts = []
    for total in (2, 20):
        while Vehicle.objects.count() < total:
            make_state(make_vehicle(organisation))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(api.get("/api/v1/vehicles/").json()["results"]) == total
        counts.append(len([q for q in queries if "vehicles_vehicle" in q["sql"]]))
    assert counts == [1, 1]


def test_low_vehicles_can_be_listed(api, organisation, van) -> None:
    low = make_vehicle(organisation)
    make_state(low, is_soc_low=True, soc_low_at=NOON)
    make_state(van)
    results = api.get("/api/v1/vehicles/?is_soc_low=true").json()["results"]
    assert [row["id"] for row in results] == [low.pk]


def test_a_vehicle_is_added_and_changed(api, organisation) -> None:
    model = make_model()
    answer = api.post("/api/v1/vehicles/", {"registration": "KA 03 MX 4471", "model": model.pk, "device_id": "d-1"})
    assert answer.status_code == 201
    vehicle = Vehicle.objects.get(pk=answer.json()["id"])
    assert (vehicle.organisation, vehicle.device_id) == (organisation, "d-1")
    assert api.patch(f"/api/v1/vehicles/{vehicle.pk}/", {"cost_centre": "South"}).json()["cost_centre"] == "South"


def test_the_same_plate_in_other_words_is_a_conflict(api, van) -> None:
    plate = van.registration.replace(" ", "").lower()
    answer = api.post("/api/v1/vehicles/", {"registration": plate, "model": van.model_id})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert "plate" in answer.json()["detail"]
    assert Vehicle.objects.count() == 1


def test_a_token_has_one_owner_whatever_its_case(api, organisation, other_organisation) -> None:
    IdToken.objects.create(organisation=other_organisation, uid="04A2B3C4")
    answer = api.post("/api/v1/id-tokens/", {"uid": "04a2b3c4"})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert api.post("/api/v1/id-tokens/", {"uid": "04A2B3C5"}).status_code == 201


def test_a_driver_is_added(api, organisation) -> None:
    answer = api.post("/api/v1/drivers/", {"name": "Manju"})
    assert answer.status_code == 201
    assert organisation.drivers.get().driver_ref.hex == answer.json()["driver_ref"].replace("-", "")


def test_overlapping_shifts_are_refused(api, organisation, van) -> None:
    driver, colleague = make_driver(organisation), make_driver(organisation)
    shift = {"vehicle": van.pk, "driver": driver.pk, "starts_at": NOON, "ends_at": NOON + timedelta(hours=8)}
    assert api.post("/api/v1/shifts/", shift).status_code == 201
    assert api.post("/api/v1/shifts/", shift).status_code == 201  # the same again is the same shift
    late = {**shift, "driver": colleague.pk, "starts_at": NOON + timedelta(hours=7)}
    answer = api.post("/api/v1/shifts/", late)
    assert (answer.status_code, answer.json()["code"]) == (409, "shift_overlaps")
    assert api.post("/api/v1/shifts/", {**shift, "ends_at": NOON}).json()["code"] == "invalid"
    assert Shift.objects.count() == 1


def test_the_track_is_in_time_order_and_bounded(api, van) -> None:
    for seconds, flags in ((30, 0), (10, 2), (20, 8), (4000, 0)):
        add_position(van, seconds, flags)
    query = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=1)).isoformat()}
    body = api.get(f"/api/v1/vehicles/{van.pk}/track/", query).json()
    assert [(p["is_suspect"], p["is_charging"]) for p in body["points"]] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert body["is_complete"]
    assert body["points"][0]["soc_percent"] == 44.3
    too_long = {"from": NOON.isoformat(), "to": (NOON + timedelta(days=8)).isoformat()}
    assert api.get(f"/api/v1/vehicles/{van.pk}/track/", too_long).json()["code"] == "invalid"
    assert api.get(f"/api/v1/vehicles/{van.pk}/track/", {"from": "yesterday"}).status_code == 400


def test_the_track_as_geojson_has_an_instant_for_every_point_and_no_jumps(api, van) -> None:
    for seconds, flags in ((30, 0), (10, 2), (20, 8)):
        add_position(van, seconds, flags)
    query = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=1)).isoformat(), "form": "geojson"}
    feature = api.get(f"/api/v1/vehicles/{van.pk}/track/", query).json()
    points = list(Position.objects.filter(flags__in=(0, 8)).order_by("fix_at"))
    assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "LineString")
    assert feature["geometry"]["coordinates"] == [[point.longitude, point.latitude] for point in points]
    assert feature["properties"]["times"] == ["2026-11-21T12:00:20Z", "2026-11-21T12:00:30Z"]
    assert feature["properties"]["socs_percent"] == [44.3, 44.3]
    assert len(feature["properties"]["speeds_kmh"]) == 2
    empty = api.get(f"/api/v1/vehicles/{van.pk}/track/", {**query, "to": NOON.isoformat()}).json()
    assert (empty["geometry"], empty["properties"]["times"]) == (None, [])
    assert api.get(f"/api/v1/vehicles/{van.pk}/track/", {"form": "kml"}).json()["code"] == "invalid"


def add_stretch(van: Vehicle, kind: str, start: int, end: int, **fields: object) -> None:
    """From minute to minute after noon."""
    Stretch.objects.create(
        vehicle=van, day=NOON.date(), kind=kind, started_at=NOON + timedelta(minutes=start),
        ended_at=NOON + timedelta(minutes=end), start_latitude=12.9, start_longitude=77.5, end_latitude=13.0,
        end_longitude=77.6, **fields,
    )  # fmt: skip


def test_trips_are_listed_and_each_replayed_by_its_period(api, van) -> None:
    add_stretch(van, "halt", 10, 30)
    add_stretch(van, "trip", 0, 10, distance_m=4_200, soc_start_percent=50, soc_end_percent=48, energy_wh=400)
    add_stretch(van, "trip", 90, 95)
    query = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=1)).isoformat()}
    body = api.get(f"/api/v1/vehicles/{van.pk}/trips/", query).json()
    assert [trip["kind"] for trip in body["trips"]] == ["trip", "halt"]
    assert body["is_complete"]
    trip = body["trips"][0]
    assert (trip["distance_m"], trip["energy_wh"], trip["soc_end_percent"]) == (4_200, 400, 48)
    for seconds in (0, 300, 600, 700):
        add_position(van, seconds, 0)
    replay = {"from": trip["started_at"], "to": trip["ended_at"]}
    assert len(api.get(f"/api/v1/vehicles/{van.pk}/track/", replay).json()["points"]) == 3
    halts = api.get(f"/api/v1/vehicles/{van.pk}/trips/", {**query, "kind": "halt"}).json()["trips"]
    assert [halt["kind"] for halt in halts] == ["halt"]
    for wrong in ({"kind": "flight"}, {"from": NOON.isoformat(), "to": (NOON + timedelta(days=32)).isoformat()}):
        assert api.get(f"/api/v1/vehicles/{van.pk}/trips/", wrong).json()["code"] == "invalid"


def test_putting_stops_replaces_the_open_ones_and_keeps_the_done_ones(api, van) -> None:
    first = services.set_stops(vehicle_id=van.pk, stops=[services.PlannedStop("Hub", 12.9, 77.6)])[0]
    assert services.complete_stop(stop_id=first.pk, at=NOON)
    assert not services.complete_stop(stop_id=first.pk, at=NOON)
    stops = [{"name": "A", "latitude": 12.91, "longitude": 77.61}, {"name": "B", "latitude": 12.92, "longitude": 77.62}]
    for _ in range(2):
        answer = api.put(f"/api/v1/vehicles/{van.pk}/stops/", stops)
        assert [(s["sequence"], s["name"]) for s in answer.json()] == [(1, "Hub"), (2, "A"), (3, "B")]
    assert Stop.objects.count() == 3
    broken = [{"name": "A", "latitude": 120, "longitude": 77.61}]
    assert api.put(f"/api/v1/vehicles/{van.pk}/stops/", broken).status_code == 400
    assert Stop.objects.count() == 3


def test_an_unknown_device_is_listed_and_claimed(api, organisation, van) -> None:
    UnknownDevice.objects.create(organisation=organisation, device_id="tracker-9", messages=4)
    assert [row["device_id"] for row in api.get("/api/v1/unknown-devices/").json()["results"]] == ["tracker-9"]
    claim = {"device_id": "tracker-9", "vehicle": van.pk}
    assert api.post("/api/v1/unknown-devices/claim/", claim).json()["device_id"] == "tracker-9"
    assert not UnknownDevice.objects.exists()
    assert api.post("/api/v1/unknown-devices/claim/", claim).status_code == 200
    other = make_vehicle(organisation)
    answer = api.post("/api/v1/unknown-devices/claim/", {**claim, "vehicle": other.pk})
    assert (answer.status_code, answer.json()["code"]) == (409, "device_taken")


IMEI = "861359030000001"


def test_an_imei_is_claimed_only_after_it_was_heard_by_tcp(api, organisation, van) -> None:
    claim = {"device_id": IMEI, "vehicle": van.pk}
    UnknownDevice.objects.create(organisation=organisation, device_id=IMEI)  # with the fleet's own key: anybody can
    answer = api.post("/api/v1/unknown-devices/claim/", claim)
    assert (answer.status_code, answer.json()["code"]) == (409, "imei_not_heard")
    patch = api.patch(f"/api/v1/vehicles/{van.pk}/", {"device_id": IMEI})
    created = api.post("/api/v1/vehicles/", {"registration": "KA 03 MX 9", "model": van.model_id, "device_id": IMEI})
    assert patch.status_code == created.status_code == 400
    assert not Vehicle.objects.filter(device_id=IMEI).exists()
    UnknownDevice.objects.create(organisation=None, device_id=IMEI)
    assert api.post("/api/v1/unknown-devices/claim/", claim).status_code == 200
    assert api.patch(f"/api/v1/vehicles/{van.pk}/", {"device_id": IMEI}).status_code == 200  # it has it
    assert not UnknownDevice.objects.exists()
    other = make_vehicle(organisation)
    answer = api.post("/api/v1/unknown-devices/claim/", {**claim, "vehicle": other.pk})
    assert answer.json()["code"] == "device_taken"  # by the fleet's own


def test_whether_another_fleet_has_an_imei_is_not_told(api, van, other_organisation) -> None:
    make_vehicle(other_organisation, device_id=IMEI)
    UnknownDevice.objects.create(organisation=None, device_id=IMEI)  # left over from a moment before
    for imei in (IMEI, "861359030000002"):
        answer = api.post("/api/v1/unknown-devices/claim/", {"device_id": imei, "vehicle": van.pk})
        assert (answer.status_code, answer.json()["code"]) == (409, "imei_not_heard")
        answer = api.patch(f"/api/v1/vehicles/{van.pk}/", {"device_id": imei})
        assert (answer.status_code, "reported to us by TCP" in answer.content.decode()) == (400, True)


def test_who_guesses_imeis_has_to_wait_and_learns_nothing_more(api, van) -> None:
    claim = {"device_id": IMEI, "vehicle": van.pk}
    codes = [api.post("/api/v1/unknown-devices/claim/", claim).status_code for _ in range(31)]
    assert codes == [409] * 30 + [429]
    UnknownDevice.objects.create(organisation=None, device_id=IMEI)
    assert api.post("/api/v1/unknown-devices/claim/", claim).status_code == 429


def test_a_device_that_came_without_a_key_is_shown_to_nobody(api) -> None:
    UnknownDevice.objects.create(organisation=None, device_id="secret-phone-id")
    assert api.get("/api/v1/unknown-devices/").json()["results"] == []


def test_the_catalogue_says_what_was_verified() -> None:
    assert not VehicleModel.objects.filter(is_verified=True).exists()
    assert VehicleModel.objects.filter(verified_figures=["battery_wh"]).count() == 4
    ace = VehicleModel.objects.get(manufacturer="Tata", name="Ace EV")
    assert (ace.battery_wh, ace.plugs) == (19_596, ["ccs2", "is1293_15a"])
    assert "max_dc_power_w" in ace.unverified_figures
    assert ace.figures_source.startswith("Battery by the maker's data sheet: 21.3 kWh")
    assert not VehicleModel.objects.filter(figures_source="").exists()


def test_a_stranger_sees_and_changes_nothing(van, organisation, other_organisation) -> None:
    driver = make_driver(organisation)
    shift = Shift.objects.create(
        organisation=organisation, vehicle=van, driver=driver, starts_at=NOON, ends_at=NOON + timedelta(hours=1)
    )
    token = IdToken.objects.create(organisation=organisation, uid="04FF", vehicle=van)
    UnknownDevice.objects.create(organisation=organisation, device_id="tracker-9")
    stranger = client_of(other_organisation)
    for route in ("vehicles", "drivers", "shifts", "id-tokens", "unknown-devices"):
        assert stranger.get(f"/api/v1/{route}/").json()["results"] == []
    for path in (f"vehicles/{van.pk}", f"drivers/{driver.pk}", f"shifts/{shift.pk}", f"id-tokens/{token.pk}"):
        assert stranger.get(f"/api/v1/{path}/").status_code == 404
    for path in (f"vehicles/{van.pk}/track", f"vehicles/{van.pk}/trips", f"vehicles/{van.pk}/stops"):
        assert stranger.get(f"/api/v1/{path}/").status_code == 404
    assert stranger.patch(f"/api/v1/vehicles/{van.pk}/", {"device_id": "mine"}).status_code == 404
    assert stranger.put(f"/api/v1/vehicles/{van.pk}/stops/", []).status_code == 404
    assert stranger.delete(f"/api/v1/shifts/{shift.pk}/").status_code == 404
    borrowed = {"vehicle": van.pk, "driver": driver.pk, "starts_at": NOON, "ends_at": NOON + timedelta(hours=1)}
    assert stranger.post("/api/v1/shifts/", borrowed).status_code == 400
    assert stranger.post("/api/v1/unknown-devices/claim/", {"device_id": "x", "vehicle": van.pk}).status_code == 400
    assert stranger.post("/api/v1/id-tokens/", {"uid": "05", "vehicle": van.pk}).status_code == 400
    van.refresh_from_db()
    assert (van.device_id, Shift.objects.count(), IdToken.objects.count()) == (van.device_id, 1, 1)
    assert van.device_id != "mine"


@pytest.mark.parametrize("route", ["vehicles", "drivers", "shifts", "id-tokens", "unknown-devices", "vehicle-models"])
def test_reading_and_writing_need_their_scopes(route, organisation) -> None:
    assert APIClient().get(f"/api/v1/{route}/").status_code == 401
    assert client_of(organisation, Scope.STATIONS_READ).get(f"/api/v1/{route}/").json()["code"] == "missing_scope"
    answer = client_of(organisation, Scope.VEHICLES_READ).post(f"/api/v1/{route}/", {})
    assert answer.status_code in (403, 405)


def test_a_dispatcher_reads_with_a_session(client, dispatcher, van) -> None:
    client.force_login(dispatcher)
    assert [row["id"] for row in client.get("/api/v1/vehicles/").json()["results"]] == [van.pk]


def test_the_ingest_routes_are_in_the_openapi_file() -> None:
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    report = schema["paths"]["/ingest/v1/pings"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert report == {"$ref": "#/components/schemas/PingReport"}
    assert "soc" in {p["name"] for p in schema["paths"]["/ingest/osmand"]["get"]["parameters"]}
