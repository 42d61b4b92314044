"""Vehicles and their company for tests."""

import itertools
from datetime import UTC, datetime
from typing import Any

from fleetcharge.accounts.models import Organisation
from vehicles.models import Driver, Vehicle, VehicleModel, VehicleState

_numbers = itertools.count(1)
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_model(**fields: Any) -> VehicleModel:
    number = next(_numbers)
    defaults = {
        "manufacturer": "Tata",
        "name": f"Test LCV {number}",
        "vehicle_class": VehicleModel.VehicleClass.LCV,
        "battery_wh": 20_000,
        "plugs": ["ccs2"],
        "max_dc_power_w": 20_000,
        "consumption_wh_per_km": 150,
    }
    return VehicleModel.objects.create(**{**defaults, **fields})


def make_vehicle(organisation: Organisation, **fields: Any) -> Vehicle:
    number = next(_numbers)
    model = fields.pop("model", None) or make_model()
    defaults = {"registration": f"KA 03 MX {number:04d}", "device_id": f"device-{number}"}
    return Vehicle.objects.create(organisation=organisation, model=model, **{**defaults, **fields})


def make_state(vehicle: Vehicle, **fields: Any) -> VehicleState:
    defaults = {"latitude": 12.97, "longitude": 77.59, "position_at": NOON, "soc_percent": 60.0, "soc_at": NOON}
    return VehicleState.objects.create(vehicle=vehicle, **{**defaults, **fields})


def make_driver(organisation: Organisation, **fields: Any) -> Driver:
    return Driver.objects.create(organisation=organisation, **{"name": f"Driver {next(_numbers)}", **fields})
