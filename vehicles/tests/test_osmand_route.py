"""`/ingest/osmand`: unchanged Traccar Client and OsmAnd apps; the messages are as the apps send them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from vehicles import intake
from vehicles.fixes import LATE, MOCK_LOCATION
from vehicles.models import Position, UnknownDevice, VehicleState
from vehicles.tests.factories import make_vehicle
from vehicles.unknown import Sighting

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "/ingest/osmand"


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def van(organisation):
    return make_vehicle(organisation, device_id="phone-8681234567")


def query(**fields: Any) -> dict[str, Any]:
    return {"id": "phone-8681234567", "timestamp": int(NOW.timestamp()), "lat": 12.9756, "lon": 77.605, **fields}


def message(**location: Any) -> dict[str, Any]:
    coords = {"latitude": 12.9756, "longitude": 77.605, "speed": 10, "heading": 185.5, "accuracy": 4, "altitude": 920}
    battery = {"level": 0.15, "is_charging": True}
    whole = {"timestamp": "2026-11-21T12:00:00.000Z", "coords": coords, "battery": battery, "is_moving": True}
    return {"device_id": "phone-8681234567", "location": {**whole, **location}}


async def test_speed_in_the_query_is_in_knots_and_batt_is_the_phone(door, van) -> None:
    answer = await door.get(URL, params=query(speed=10, bearing=90, batt=15, accuracy=4.2, charge="true"))
    assert (answer.status_code, answer.content) == (200, b"")
    state = await VehicleState.objects.aget(vehicle=van)
    assert (round(state.speed_kmh, 2), state.heading_deg) == (18.52, 90)
    assert (state.soc_percent, state.is_charging) == (None, False)


async def test_our_extra_keys_speak_of_the_vehicle(door, van) -> None:
    answer = await door.post(URL, params=query(soc=44.5, odometer=1234567, is_charging="true", batt=3))
    assert answer.status_code == 200
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.soc_percent, state.odometer_m, state.is_charging) == (44.5, 1_234_567, True)


async def test_a_form_and_the_other_spellings(door, van) -> None:
    form = {"deviceid": "phone-8681234567", "timestamp": int(NOW.timestamp() * 1000), "location": "12.9756,77.605"}
    assert (await door.post(URL, data={**form, "heading": "45"})).status_code == 200
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.latitude, state.heading_deg, state.position_at) == (12.9756, 45, NOW)


@pytest.mark.parametrize(
    "timestamp",
    ["1795262400", "1795262400000", "2026-11-21T12:00:00Z", "2026-11-21T17:30:00+05:30", "2026-11-21 12:00:00", None],
)
async def test_every_way_to_write_an_instant(door, van, timestamp) -> None:
    fields = {key: value for key, value in query(timestamp=timestamp).items() if value is not None}
    assert (await door.get(URL, params=fields)).status_code == 200
    assert (await VehicleState.objects.aget(vehicle=van)).position_at == NOW


async def test_speed_in_the_json_is_in_metres_per_second_and_battery_is_the_phone(door, van) -> None:
    answer = await door.post(URL, json=message())
    assert (answer.status_code, answer.content) == (200, b"")
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.speed_kmh, state.heading_deg, state.soc_percent, state.is_charging) == (36, 185.5, None, False)


async def test_minus_one_means_unknown_in_the_json(door, van) -> None:
    coords = {"latitude": 12.9756, "longitude": 77.605, "speed": -1, "heading": -1, "accuracy": -1}
    assert (await door.post(URL, json=message(coords=coords))).status_code == 200
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.speed_kmh, state.heading_deg) == (None, None)


async def test_locations_may_come_as_a_list(door, van) -> None:
    first = message(timestamp="2026-11-21T11:40:00.000Z")["location"]
    body = {**message(), "location": [first, {"coords": {}}, message()["location"]]}
    assert (await door.post(URL, json=body)).json()["code"] == "invalid"
    flags = [row.flags async for row in Position.objects.filter(vehicle=van).order_by("fix_at")]
    assert flags == [LATE, 0]  # what was readable is stored


async def test_a_mock_location_is_kept_as_a_sign_of_fraud(door, van) -> None:
    await door.post(URL, json=message(mock=True, extras={"soc": 61, "odo_km": 12.5, "is_charging": False}))
    row = await Position.objects.aget(vehicle=van)
    assert (row.flags, row.soc_percent, row.odometer_m) == (MOCK_LOCATION, 61, 12_500)


async def test_an_unknown_device_is_told_and_remembered(door) -> None:
    for _ in range(2):
        answer = await door.get(URL, params=query(id="stray"))
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_device")
    row = await UnknownDevice.objects.aget()
    assert (row.device_id, row.organisation_id, row.messages) == ("stray", None, 2)
    assert "lat=12.9756" in row.last_message
    assert await Position.objects.acount() == 0


async def test_at_most_a_thousand_unknown_devices_are_remembered(door) -> None:
    await UnknownDevice.objects.abulk_create(UnknownDevice(device_id=f"stray-{n}", messages=1) for n in range(1000))
    await door.get(URL, params=query(id="one-too-many"))
    await door.get(URL, params=query(id="stray-7"))
    assert await UnknownDevice.objects.acount() == 1000
    assert (await UnknownDevice.objects.aget(device_id="stray-7")).messages == 2


async def test_a_full_list_takes_of_a_batch_whom_it_knows_and_whoever_has_another_limit(door, organisation) -> None:
    await UnknownDevice.objects.abulk_create(UnknownDevice(device_id=f"stray-{n}", messages=1) for n in range(1000))
    seen = [(None, "stray-7"), (None, "one-too-many"), (None, "861359030000001"), (organisation.pk, "stray-7"),
            (organisation.pk, "one-too-many"), (None, "stray-7")]  # fmt: skip
    await intake.unknown_devices._write([Sighting(owner, device, "hello") for owner, device in seen])
    heard = UnknownDevice.objects.filter(last_message="hello").order_by("organisation_id", "device_id")
    assert [row async for row in heard.values_list("organisation_id", "device_id", "messages")] == [
        (organisation.pk, "one-too-many", 1), (organisation.pk, "stray-7", 1),
        (None, "861359030000001", 1), (None, "stray-7", 3),
    ]  # fmt: skip
    assert await UnknownDevice.objects.acount() == 1003


@pytest.mark.parametrize(
    "fields", [{"id": ""}, {"id": "x" * 65}, {"id": "nul\0"}, {"lat": "north"}, {"lat": "nan"}, {"timestamp": "noon"}]
)
async def test_a_broken_message_gets_a_clear_error(door, van, fields) -> None:
    answer = await door.get(URL, params=query(**fields))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert await Position.objects.acount() == 0


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"device_id": "phone-8681234567", "location": 5}', b"\xff"])
async def test_a_broken_json_gets_a_clear_error(door, van, content) -> None:
    answer = await door.post(URL, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] in ("bad_json", "invalid")


async def test_a_refused_ping_does_not_block_the_queue_of_the_phone(door, van) -> None:
    long_ago = int((NOW - timedelta(days=31)).timestamp())
    answer = await door.get(URL, params=query(timestamp=long_ago))
    assert (answer.status_code, answer.headers["x-ping-rejected"]) == (200, "too_old")


async def test_a_status_message_without_a_place_is_fine(door, van) -> None:
    assert (await door.get(URL, params={"id": "phone-8681234567", "batt": 50})).status_code == 200
    assert (await door.post(URL, json={"device_id": "phone-8681234567"})).status_code == 200
    assert await Position.objects.acount() == 0


async def test_other_methods_are_refused(door) -> None:
    assert (await door.put(URL, params=query())).status_code == 405
