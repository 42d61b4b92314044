"""Smartcar's webhook: proves itself when asked, believes signatures alone, and reads every signal with its own time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from vehicles.doors import smartcar
from vehicles.doors.smartcar import signature
from vehicles.models import Position, VehicleCloud, VehicleState
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CAR, SECRET = "36ab27d0-fd9d-4455-823a-ce30af709ffc", "management-token"


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def cloud(organisation) -> VehicleCloud:
    row = VehicleCloud(organisation=organisation)
    row.secret = SECRET
    row.save()
    return row


@pytest.fixture
def car(organisation):
    return make_vehicle(organisation, device_id=CAR)


def signal(code: str, body: dict[str, Any], at: datetime = NOW) -> dict[str, Any]:
    return {"code": code, "group": "x", "body": body, "meta": {"retrievedAt": at.isoformat(), "oemUpdatedAt": None}}


def state(*signals: dict[str, Any], car: str = CAR) -> bytes:
    vehicle = {"id": car, "make": "TATA", "mode": "live", "powertrainType": "BEV"}
    data = {"user": {"id": "u"}, "vehicle": vehicle, "signals": list(signals)}
    return orjson.dumps({"eventId": "e", "eventType": "VEHICLE_STATE", "data": data, "meta": {"version": "4.0"}})


PLACE = ("location-preciselocation", {"latitude": 12.9756, "longitude": 77.605})


async def deliver(door: Any, cloud: VehicleCloud, body: bytes, secret: str = SECRET) -> Any:
    headers = {"SC-Signature": signature(secret, body), "Content-Type": "application/json"}
    return await door.post(f"/ingest/smartcar/{cloud.token}", content=body, headers=headers)


async def test_it_proves_itself_when_asked(door, cloud) -> None:
    body = {"eventType": "VERIFY", "data": {"challenge": "a-random-text"}}
    answer = await door.post(f"/ingest/smartcar/{cloud.token}", json=body)
    assert answer.json() == {"challenge": signature(SECRET, b"a-random-text")}
    assert len(answer.json()["challenge"]) == 64


async def test_what_it_signs_for_whoever_asks_is_no_delivery(door, cloud, car) -> None:
    """Without the secret: have a body signed as a challenge, then deliver it."""
    body = state(signal(*PLACE))
    for challenge in (body.decode(), "", "a" * 129, "a b", "a\n", "{}", "é"):
        answer = await door.post(
            f"/ingest/smartcar/{cloud.token}", json={"eventType": "VERIFY", "data": {"challenge": challenge}}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert signature(SECRET, body) not in answer.text


async def test_an_address_that_is_too_long_is_not_remembered(door, cloud) -> None:
    smartcar.forget()
    assert (await door.post(f"/ingest/smartcar/{'x' * 41}", content=b"{}")).status_code == 404
    assert smartcar._clouds == {}


async def test_every_signal_is_read_at_its_own_time(door, cloud, car) -> None:
    earlier = NOW - timedelta(minutes=3)
    body = state(
        signal(*PLACE), signal("tractionbattery-stateofcharge", {"value": 61.5, "unit": "percent"}, earlier),
        signal("charge-ischarging", {"value": True}),
        signal("odometer-traveleddistance", {"value": 1000, "unit": "miles"}),
    )  # fmt: skip
    assert (await deliver(door, cloud, body)).json()["accepted"] == 2
    row = await VehicleState.objects.aget(vehicle=car)
    assert (row.position_at, row.soc_at, row.soc_percent) == (NOW, earlier, 61.5)
    assert (row.odometer_m, row.is_charging, row.latitude) == (1_609_344, True, 12.9756)
    assert (await deliver(door, cloud, body)).json()["rejected"] == []
    assert await Position.objects.acount() == 1


async def test_what_is_not_signed_with_our_token_is_refused(door, cloud, car) -> None:
    answer = await deliver(door, cloud, state(signal(*PLACE)), secret="another")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_signature")
    answer = await door.post(f"/ingest/smartcar/{cloud.token}", content=state(signal(*PLACE)))
    assert answer.status_code == 401
    assert await Position.objects.acount() == 0


async def test_an_address_that_is_not_there_or_switched_off(door, cloud, car) -> None:
    await VehicleCloud.objects.all().aupdate(is_active=False)
    assert (await deliver(door, cloud, state(signal(*PLACE)))).status_code == 404
    assert (await door.post("/ingest/smartcar/", content=b"{}")).status_code == 404
    assert (await door.get(f"/ingest/smartcar/{cloud.token}")).status_code == 405


async def test_a_cloud_cannot_report_for_another_fleet(door, cloud, other_organisation) -> None:
    await in_thread(make_vehicle, other_organisation, device_id=CAR)
    answer = await deliver(door, cloud, state(signal(*PLACE)))
    assert answer.json()["rejected"][0]["code"] == "unknown_device"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"eventType": "VEHICLE_ERROR", "data": {}}', 200), (state(car=""), 200),
     (state(signal(PLACE[0], {"latitude": "north"})), 200), (state(), 200)],
)  # fmt: skip
async def test_what_says_nothing_of_a_place_stores_nothing(door, cloud, car, body, status) -> None:
    assert (await deliver(door, cloud, body)).status_code == status
    assert await Position.objects.acount() == 0
