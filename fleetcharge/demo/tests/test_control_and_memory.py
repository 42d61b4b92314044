"""The control door, and what survives a restart of the city."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetcharge.demo import vehicle as v
from fleetcharge.demo.city import City
from fleetcharge.demo.control import Control
from fleetcharge.demo.memory import recall, remember
from fleetcharge.demo.orders import DriverApps
from fleetcharge.demo.tests.factories import NOW, System, city_of, live, manifest_of

HERO = "KA 03 MX 4471"


@pytest.fixture
def city() -> City:
    return city_of(vehicles=20)


async def send(city: City, method: str, path: str, body: Any = None) -> httpx.Response:
    door = Control(city, dict, lambda: None)
    transport = httpx.ASGITransport(door)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        return await client.request(method, path, json=body)


async def test_a_fault_on_demand_stays_until_it_is_cleared(city: City) -> None:
    body = {"charger": "BLR-001", "connector": 2}
    assert (await send(city, "POST", "/control/fault", body)).json()["status"] == "Faulted"
    live(city, 300)
    bay = city.find_bay("BLR-001/2")
    assert bay is not None and bay.status == "Faulted"
    assert (await send(city, "POST", "/control/clear", body)).json()["status"] == "Available"


async def test_draining_and_leaving(city: City) -> None:
    plate = HERO.replace(" ", "").lower()
    drained = await send(city, "POST", "/control/drain", {"registration": plate, "soc_percent": 12})
    assert drained.json()["soc_percent"] == 12
    plugged = next(vehicle for vehicle in city.vehicles.values() if vehicle.state == v.PLUGGED_IN)
    left = await send(city, "POST", "/control/leave", {"registration": plugged.registration})
    assert left.json()["state"] == v.DRIVING


async def test_the_state_tells_the_ground_truth(city: City) -> None:
    live(city, 30, system=System())
    state = (await send(city, "GET", "/control/state")).json()
    assert state["chargers_connected"] == 60
    assert {session["bay"] for session in state["sessions"]} == {
        bay.key for bay in city.own_bays if bay.visit and bay.visit.is_running
    }
    assert all(session["transaction_ref"] for session in state["sessions"])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/control/fault", {"charger": "BLR-999"}, 404, "not_found"),
        ("/control/drain", {"registration": "KA 00"}, 404, "not_found"),
        ("/control/drain", {"registration": HERO, "soc_percent": "much"}, 400, "invalid"),
        ("/control/fault", {}, 400, "invalid"),
        ("/control/fault", [1], 400, "invalid"),
        ("/control/explode", {}, 404, "not_found"),
    ],
)
async def test_a_wrong_request_is_told_so(city: City, path: str, body: Any, status: int, code: str) -> None:
    answer = await send(city, "POST", path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_restart_keeps_batteries_meters_and_unconfirmed_calls(city: City, tmp_path: Path) -> None:
    path, system = tmp_path / "state.json", System()
    now = live(city, 40, system=system)
    running = [bay for bay in city.own_bays if bay.visit and bay.visit.is_running]
    references = {bay.visit.transaction_ref for bay in running if bay.visit}
    remember(city, path, now, "digest")
    assert path.stat().st_mode & 0o077 == 0
    again, later = city_of(vehicles=20), now + timedelta(minutes=2)
    assert recall(again, path, later, "digest")
    kept = {plate: one.pack.soc_percent for plate, one in city.vehicles.items()}
    moved = [plate for plate, one in again.vehicles.items() if abs(one.pack.soc_percent - kept[plate]) > 5]
    assert moved == []
    assert {bay.key: bay.meter_wh for bay in again.own_bays} == {bay.key: bay.meter_wh for bay in city.own_bays}
    system = System()
    live(again, 2, start=later, system=system)
    stopped = {str(one["transactionId"]) for one in system.payloads("StopTransaction")} | {
        one["transactionInfo"]["transactionId"]
        for one in system.payloads("TransactionEvent")
        if one["eventType"] == "Ended"
    }
    assert stopped == references


def test_the_memory_of_another_city_is_not_used(city: City, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    remember(city, path, NOW, "digest")
    assert not recall(city_of(vehicles=20), path, NOW, "another digest")
    path.write_text(json.dumps({"digest": "digest"})[:-3])
    assert not recall(city_of(vehicles=20), path, NOW, "digest")


async def test_a_reserved_plan_moves_its_vehicle_and_a_lost_one_lets_it_go(city: City) -> None:
    async with httpx.AsyncClient() as http:
        apps = DriverApps(city, manifest_of(vehicles=20), http, "http://nowhere")
        bay = city.own_bays[0]
        plan = {
            "id": 5,
            "vehicle": {"registration": HERO},
            "station": {"name": bay.site, "latitude": bay.latitude, "longitude": bay.longitude},
            "connector": {"public_id": bay.public_id},
            "target_soc_percent": 80,
        }
        apps.follow("namma-logistics", [plan])
        hero = city.vehicles[HERO]
        assert (hero.state, hero.plan_id) == (v.TO_BAY, 5)
        assert hero.bay is not None and hero.bay.site == bay.site
        apps.follow("namma-logistics", [])
        assert (hero.state, hero.plan_id, hero.bay) == (v.DRIVING, None, None)


async def test_habits_and_power_cuts_on_demand(city: City) -> None:
    odd = await send(city, "POST", "/control/quirks", {"charger": "BLR-001", "quirks": ["mixed_units", "clock_1970"]})
    assert odd.json() == {"charger": "BLR-001", "quirks": ["clock_1970", "mixed_units"]}
    assert (await send(city, "POST", "/control/quirks", {"charger": "BLR-001", "quirks": ["x"]})).status_code == 400
    assert (await send(city, "POST", "/control/power", {"charger": "BLR-001", "seconds": 4})).json()["restart_at"]
    state = (await send(city, "GET", "/control/state")).json()
    first = next(one for one in state["chargers"] if one["identity"] == "BLR-001")
    assert first["quirks"] == ["clock_1970", "mixed_units"]
