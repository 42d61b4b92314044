"""What the city remembers over a restart: batteries, places, meters, and calls the system has not confirmed."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fleetcharge.demo.calls import Call
from fleetcharge.demo.city import City
from fleetcharge.demo.manifest import write_private
from fleetcharge.demo.uses import from_memory, to_memory
from fleetcharge.demo.vehicle import PLUGGED_IN, SimVehicle

FILE_NAME = "demo_state.json"
FRESH_FOR = timedelta(minutes=30)


def remember(city: City, path: Path, now: datetime, digest: str) -> None:
    """Write everything down; running sessions are written as the stop a power cut would cause."""
    write_private(path, {
        "digest": digest,
        "at": now.isoformat(),
        "vehicles": {name: _vehicle(vehicle) for name, vehicle in city.vehicles.items()},
        "meters": {bay.key: bay.meter_wh for bay in city.own_bays},
        "calls": {name: _calls(city, name, now) for name in city.chargers},
        "uses": [to_memory(network, now) for network in city.networks],
    })  # fmt: skip


def _vehicle(vehicle: SimVehicle) -> dict[str, Any]:
    return {
        "place": vehicle.place,
        "soc_percent": vehicle.pack.soc_percent,
        "odometer_m": vehicle.odometer_m,
        "bay": vehicle.bay.key if vehicle.bay and vehicle.state == PLUGGED_IN else "",
    }


def _calls(city: City, identity: str, now: datetime) -> list[dict[str, Any]]:
    charger = city.chargers[identity]
    waiting = charger.unanswered()
    return [asdict(call) for call in [*waiting, *charger.stops_after_power_cut(now)]]


def recall(city: City, path: Path, now: datetime, digest: str) -> bool:
    """Take up the thread: meters and unconfirmed calls always, batteries and places when it was not long ago."""
    try:
        state = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return False
    if state.get("digest") != digest:
        return False
    for bay in city.own_bays:
        bay.meter_wh = max(bay.meter_wh, state["meters"].get(bay.key, 0.0))
    for identity, calls in state["calls"].items():
        city.chargers[identity].outbox.extendleft(Call(**call) for call in reversed(calls))
    for network, rows in zip(city.networks, state.get("uses", []), strict=False):
        from_memory(network, rows)
    is_fresh = now - datetime.fromisoformat(state["at"]) < FRESH_FOR
    if is_fresh:
        _restore_vehicles(city, state["vehicles"], now)
        city.let_the_next_run_low()
    return is_fresh


def _restore_vehicles(city: City, vehicles: dict[str, Any], now: datetime) -> None:
    """Everybody is where it was; who stood at a bay plugs in again once the power is back."""
    for name in vehicles:
        city.put_on_the_road(city.vehicles[name])
    for name, facts in vehicles.items():
        vehicle = city.vehicles[name]
        vehicle.pack.soc_percent, vehicle.odometer_m = facts["soc_percent"], facts["odometer_m"]
        vehicle.place = (facts["place"][0], facts["place"][1])
        bay = city.find_bay(facts.get("bay", ""))
        if bay and bay.is_free_for(vehicle.facts.token_uid):
            city.arrive(vehicle, bay, now)
        else:
            city.put_on_the_road(vehicle)
