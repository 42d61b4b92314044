"""Traccar servers, ABRP senders and LeafSpy, unchanged, over the wire."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import time_machine

from vehicles import intake
from vehicles.models import Position, UnknownDevice, VehicleState
from vehicles.plausibility import BURST
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def van(organisation):
    return make_vehicle(organisation, device_id="van-1")


def forwarded(**position: Any) -> dict[str, Any]:
    return {
        "position": {
            "id": 7, "deviceId": 3, "protocol": "teltonika", "serverTime": "2026-11-21T12:00:00.000+00:00",
            "deviceTime": "2026-11-21T12:00:00.000+00:00", "fixTime": "2026-11-21T12:00:00.000+00:00", "valid": True,
            "outdated": False, "latitude": 12.9756, "longitude": 77.605, "altitude": 900.0, "speed": 10.0,
            "course": 185.5, "address": None, "accuracy": 4.0, "network": None, "geofenceIds": None,
            "attributes": {"batteryLevel": 4, "odometer": 1234567.0, "ignition": True, "io113": 88}, **position,
        },
        "device": {"id": 3, "name": "Van", "uniqueId": "van-1", "status": "online"},
    }  # fmt: skip


async def test_a_position_that_traccar_forwards_is_in_knots_and_its_battery_level_is_the_trackers(tracker, van) -> None:
    answer = await tracker.post("/ingest/traccar", json=forwarded())
    assert answer.json()["accepted"] == 1
    state = await VehicleState.objects.aget(vehicle=van)
    assert (round(state.speed_kmh, 2), state.heading_deg, state.odometer_m) == (18.52, 185.5, 1_234_567)
    assert (state.soc_percent, state.position_at) == (None, NOW)


async def test_the_address_says_which_attribute_is_the_vehicles_charge(tracker, van) -> None:
    await tracker.post("/ingest/traccar?soc=io113&soc_scale=0.5", json=forwarded())
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 44
    answer = await tracker.post("/ingest/traccar?soc=io113&soc_scale=none", json=forwarded())
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.mark.parametrize("change", [{"valid": False}, {"outdated": True}, {"latitude": None}])
async def test_a_forwarded_position_without_a_fix_moves_nobody(tracker, van, change) -> None:
    answer = await tracker.post("/ingest/traccar", json=forwarded(**change))
    assert (answer.status_code, answer.json()["rejected"][0]["code"]) == (200, "no_fix")
    assert await Position.objects.acount() == 0


async def test_traccar_needs_the_key_and_a_body_it_would_send(tracker, door, van) -> None:
    for content, code in ((b"{", "bad_json"), (b'{"position": 5}', "invalid")):
        answer = await tracker.post("/ingest/traccar", content=content)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (await tracker.post("/ingest/traccar", json={"device": {"uniqueId": "van-1"}})).json()["accepted"] == 0
    assert (await tracker.get("/ingest/traccar")).status_code == 405
    del door.headers["Authorization"]
    assert (await door.post("/ingest/traccar", json=forwarded())).status_code == 401


async def test_traccar_cannot_report_for_another_fleet(tracker, other_organisation) -> None:
    await in_thread(make_vehicle, other_organisation, device_id="van-1")
    answer = await tracker.post("/ingest/traccar", json=forwarded())
    assert answer.json()["rejected"][0]["code"] == "unknown_device"
    assert await Position.objects.acount() == 0


TELEMETRY = {
    "utc": NOW_S, "soc": 44.5, "power": -6.6, "speed": 36, "lat": 12.9756, "lon": 77.605, "is_charging": 1,
    "is_dcfc": 0, "odometer": 1234.5, "heading": 90, "soh": 97,
}  # fmt: skip


@pytest.mark.parametrize("way", ["query", "form", "json"])
async def test_abrp_telemetry_in_a_query_a_form_or_json(door, van, way) -> None:
    url, text = "/ingest/abrp/1/tlm/send", orjson.dumps(TELEMETRY).decode()
    answers = {
        "query": lambda: door.get(url, params={"api_key": "x", "token": "van-1", "tlm": text}),
        "form": lambda: door.post(url, data={"token": "van-1", "tlm": text}),
        "json": lambda: door.post(url, params={"token": "van-1"}, json={"tlm": TELEMETRY}),
    }
    answer = await answers[way]()
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.soc_percent, state.speed_kmh, state.odometer_m, state.is_charging) == (44.5, 36, 1_234_500, True)


async def test_abrp_without_a_place_tells_the_charge_alone(door, van) -> None:
    reading = {"utc": NOW_S, "soc": 61.5}
    await door.get("/ingest/abrp", params={"token": "van-1", "tlm": orjson.dumps(reading).decode()})
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.soc_percent, state.soc_at, state.latitude) == (61.5, NOW, None)
    assert await Position.objects.acount() == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "", "tlm": "{}"}, "invalid"),
        ({"token": "nobody", "tlm": '{"soc": 5}'}, "unknown_device"),
        ({"token": "van-1", "tlm": "{"}, "bad_json"),
        ({"token": "van-1", "tlm": '{"soc": "half"}'}, "invalid"),
        ({"token": "van-1", "tlm": '{"soc": 5, "utc": -1}'}, "invalid"),
    ],
)
async def test_abrp_telemetry_that_nobody_can_use_is_refused(door, van, fields, code) -> None:
    answer = await door.get("/ingest/abrp", params=fields)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_leafspy_gets_the_answer_it_waits_for(door, van) -> None:
    fields = {
        "user": "someone", "pass": "van-1", "Lat": "12.9756", "Long": "77.605", "Elv": "900", "SOC": "71.2",
        "ChrgMode": "2", "Odo": "12345", "RPM": "0",
    }  # fmt: skip
    answer = await door.get("/ingest/leafspy", params=fields)
    assert (answer.status_code, answer.content) == (200, b'"status":"0"')
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.soc_percent, state.odometer_m, state.is_charging) == (71.2, 12_345_000, True)


async def test_an_unknown_leafspy_is_remembered_without_its_secret(door) -> None:
    answer = await door.get("/ingest/leafspy", params={"pass": "my-secret", "user": "u", "SOC": "50"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_device")
    row = await UnknownDevice.objects.aget()
    assert (row.organisation_id, row.last_message) == (None, "SOC=50")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/ingest/osmand", {"id": "861359030000001", "timestamp": NOW_S, "lat": 12.97, "lon": 77.59}),
        ("/ingest/abrp", {"token": "861359030000001", "tlm": '{"soc": 5}'}),
        ("/ingest/leafspy", {"pass": "861359030000001", "SOC": "50", "Lat": "12.97", "Long": "77.59"}),
    ],
)
@pytest.mark.parametrize("is_claimed", [True, False])
async def test_an_imei_lets_nobody_in_without_a_key(door, organisation, path, fields, is_claimed) -> None:
    """Nor is it remembered: what waits to be claimed under an IMEI was heard from the trackers' networks."""
    if is_claimed:
        await in_thread(make_vehicle, organisation, device_id="861359030000001")
    answer = await door.get(path, params=fields)
    assert (answer.status_code, answer.json()["code"]) == (400, "imei_is_no_secret")
    assert not await Position.objects.aexists()
    assert not await UnknownDevice.objects.aexists()
    assert not await VehicleState.objects.filter(soc_percent__isnull=False).aexists()


async def test_a_device_that_sends_more_than_it_lived_through_is_told_to_come_back(door, van) -> None:
    """Eight hours at ten seconds are 2,880 requests at once and welcome; beyond 5,000 it is 503, never 429."""
    fields = {"id": "van-1", "timestamp": NOW_S, "lat": 12.97, "lon": 77.59}
    assert (await door.get("/ingest/osmand", params=fields)).status_code == 200
    track = (await intake.telemetry.registry.find(["van-1"]))["van-1"].present.track
    assert track.has_room(NOW_S * 1_000_000, BURST - 1)
    answer = await door.get("/ingest/osmand", params={**fields, "timestamp": NOW_S - 5})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "too_fast", "10")
    with time_machine.travel(NOW.timestamp() + 1, tick=False):  # five more a second
        assert (await door.get("/ingest/osmand", params={**fields, "timestamp": NOW_S - 5})).status_code == 200


async def test_ndjson_with_gzip_and_a_reading_of_the_charge_alone(tracker, van) -> None:
    lines = [{"device": "van-1", "ts": NOW_S, "soc": 40.5}, {"device": "van-1", "ts": NOW_S, "lat": 12.9}]
    body = b"\n".join(map(orjson.dumps, lines))
    answer = await tracker.post("/ingest/v1/pings", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 1
    assert answer.json()["rejected"][0]["code"] == "invalid"
    assert (await VehicleState.objects.aget(vehicle=van)).soc_percent == 40.5


async def test_a_charge_that_may_be_a_fraction_is_warned_of(tracker, van) -> None:
    ping = {"device": "van-1", "ts": NOW_S, "lat": 12.97, "lon": 77.59, "soc": 0.44}
    answer = await tracker.post("/ingest/v1/pings", json=ping)
    assert answer.json()["warnings"] == [{"i": 0, "code": "soc_may_be_a_fraction"}]
