"""Rows for dispatch tests: a network, sites with plugs, vehicles that report."""

import itertools
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from billing.models import Wallet
from billing.services import ledger
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Charger, Connector, Location, NetworkAccess, Source
from vehicles.events import VehicleMove
from vehicles.models import IdToken, Position, Vehicle, VehicleModel, VehicleState

NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
HERE = (12.9716, 77.5946)
_number = itertools.count(1)


def source(organisation: Organisation | None = None, *, kind: str = "ocpp-own", **fields: Any) -> Source:
    number = next(_number)
    return Source.objects.create(
        slug=f"network-{number}", name=f"Network {number}", kind=kind, organisation=organisation, **fields
    )


def public_network(*fleets: Organisation) -> Source:
    network = source(kind="ocpi-2.2.1")
    NetworkAccess.objects.bulk_create(NetworkAccess(organisation=fleet, source=network) for fleet in fleets)
    return network


def location(network: Source, *, latitude: float = HERE[0], longitude: float = HERE[1], **fields: Any) -> Location:
    fields = {"name": f"Site {next(_number)}", **fields}
    return Location.objects.create(source=network, latitude=latitude, longitude=longitude, **fields)


def connector(place: Location, *, at: datetime = NOW, **fields: Any) -> Connector:
    """An available 60 kW CCS2 plug on an EVSE of its own that reported at `at`."""
    evse = EVSE.objects.create(location=place, capabilities=["RESERVABLE"], charger=fields.pop("charger", None))
    values = {
        "plug": "ccs2", "max_power_w": 60_000, "status": "available", "reported_status": "available",
        "status_at": at, "heard_at": at, **fields,
    }  # fmt: skip
    return Connector.objects.create(evse=evse, **values)


def charger(place: Location, organisation: Organisation, **fields: Any) -> Charger:
    return Charger.objects.create(
        organisation=organisation, location=place, ocpp_identity=f"BLR-{next(_number):03}", is_online=True, **fields
    )


def vehicle_model(**fields: Any) -> VehicleModel:
    values = {
        "manufacturer": "Tata", "name": f"Ace EV {next(_number)}", "battery_wh": 21_300, "plugs": ["ccs2"],
        "max_dc_power_w": 30_000, "consumption_wh_per_km": 140, **fields,
    }  # fmt: skip
    return VehicleModel.objects.create(**values)


def vehicle(
    organisation: Organisation,
    *,
    soc_percent: float = 18.0,
    latitude: float = HERE[0],
    longitude: float = HERE[1],
    at: datetime = NOW,
    model: VehicleModel | None = None,
    **state: Any,
) -> Vehicle:
    """A vehicle with a token that reported its place and charge at `at`; its fleet can pay."""
    number = next(_number)
    credit(organisation)
    row = Vehicle.objects.create(
        organisation=organisation, registration=f"KA 03 MX {number:04}", model=model or vehicle_model()
    )
    IdToken.objects.create(organisation=organisation, uid=f"TOKEN{number}", vehicle=row)
    low = {"is_soc_low": soc_percent < 20, "soc_low_at": at if soc_percent < 20 else None}
    VehicleState.objects.create(
        vehicle=row, latitude=latitude, longitude=longitude, position_at=at, received_at=at, version=1,
        soc_percent=soc_percent, soc_at=at, speed_kmh=24.0, heading_deg=90.0, **{**low, **state},
    )  # fmt: skip
    return row


def credit(organisation: Organisation) -> None:
    """A wallet to charge on, if there is none yet."""
    if not Wallet.objects.filter(organisation=organisation).exists():
        code = ledger.wallet_code(organisation.pk)
        account = ledger.accounts_for([code], currency=organisation.currency)[code]
        Wallet.objects.create(account=account, organisation=organisation, credit_limit_paise=100_000_00)


def ping(van: Vehicle, at: datetime, *, east_m: int = 0, **fields: Any) -> None:
    """One stored position, so many metres east of HERE; at 24 km/h and 50.4 % unless said otherwise."""
    values = {
        "latitude_e7": round(HERE[0] * 1e7), "longitude_e7": round(HERE[1] * 1e7) + east_m * 90, "speed_dkmh": 240,
        "heading_deg": 90, "soc_permille": 504, "flags": 0, **fields,
    }  # fmt: skip
    Position.objects.bulk_create([Position(vehicle=van, fix_at=at, **values)])


def move(van: Vehicle, **fields: Any) -> VehicleMove:
    """A position as the live map hears of it."""
    values = {
        "latitude": 12.98, "longitude": 77.60, "speed_kmh": 30.0, "heading_deg": 180.0, "soc_percent": 55.0,
        "is_charging": False, "is_soc_low": False, "at": timezone.now(), **fields,
    }  # fmt: skip
    return VehicleMove(vehicle_id=van.pk, organisation_id=van.organisation_id, **values)
