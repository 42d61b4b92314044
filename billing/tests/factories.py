"""A fleet that charges: a charger of its own, a price, a vehicle with a card, and money."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.models import MeterValue, SpendLimit, Wallet
from billing.services import sessions, wallets
from billing.services.sessions import EndedSession, StartedSession
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Charger, Connector, Location, Source, Tariff
from vehicles.models import Driver, IdToken, Vehicle, VehicleModel

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)  # 12:00 in Bengaluru
PER_KWH_18 = [{"price_components": [{"type": "ENERGY", "price": "18.00", "step_size": 1}]}]
_numbers = itertools.count(1)


@dataclass
class Fleet:
    organisation: Organisation
    source: Source
    location: Location
    charger: Charger
    connector: Connector
    tariff: Tariff | None
    vehicle: Vehicle
    driver: Driver
    token: IdToken
    wallet: Wallet | None


def make_site(organisation: Organisation | None, **fields: Any) -> tuple[Source, Location]:
    number = next(_numbers)
    source = Source.objects.create(
        slug=f"own-{number}", name=f"Network {number}", kind=fields.pop("kind", Source.Kind.OWN_OCPP),
        organisation=organisation,
    )  # fmt: skip
    location = Location.objects.create(
        source=source, name=f"Site {number}", latitude=12.9716, longitude=77.5946, **fields
    )
    return source, location


def make_tariff(source: Source, elements: list[dict[str, Any]] | None = None, **fields: Any) -> Tariff:
    number = next(_numbers)
    defaults = {
        "external_id": f"T{number}",
        "elements": PER_KWH_18 if elements is None else elements,
        "content_hash": f"{number:064d}",
        "valid_from": NOON - timedelta(days=30),
    }
    return Tariff.objects.create(source=source, **{**defaults, **fields})


def make_fleet(
    organisation: Organisation,
    *,
    money_paise: int = 1_000_00,
    elements: list[dict[str, Any]] | None = None,
    has_tariff: bool = True,
    has_wallet: bool = True,
    max_power_w: int = 60_000,
) -> Fleet:
    number = next(_numbers)
    source, location = make_site(organisation)
    tariff = make_tariff(source, elements) if has_tariff else None
    charger = Charger.objects.create(organisation=organisation, location=location, ocpp_identity=f"BLR-{number:03d}")
    evse = EVSE.objects.create(location=location, charger=charger, evse_number=1)
    connector = Connector.objects.create(evse=evse, connector_id=1, plug="ccs2", max_power_w=max_power_w, tariff=tariff)
    model = VehicleModel.objects.create(
        manufacturer="Tata", name=f"Ace {number}", battery_wh=20_000, plugs=["ccs2"], max_dc_power_w=20_000,
        consumption_wh_per_km=150,
    )  # fmt: skip
    driver = Driver.objects.create(organisation=organisation, name=f"Driver {number}")
    vehicle = Vehicle.objects.create(
        organisation=organisation, registration=f"KA 01 AB {number:04d}", model=model, default_driver=driver
    )
    token = IdToken.objects.create(organisation=organisation, uid=f"CARD{number:04d}", vehicle=vehicle)
    wallet = fund(organisation, money_paise) if has_wallet else None
    return Fleet(organisation, source, location, charger, connector, tariff, vehicle, driver, token, wallet)


def limit(organisation: Organisation, **fields: Any) -> SpendLimit:
    """A hard limit of the day for the whole fleet, unless said otherwise; the scope follows from whom it names."""
    names = {"location": "site"}
    scope = next((names.get(name, name) for name in ("vehicle", "driver", "location", "cost_centre", "tariff")
                  if name in fields), "organisation")  # fmt: skip
    return SpendLimit.objects.create(organisation=organisation, **{"scope": scope, "period": "day", **fields})


def fund(organisation: Organisation, amount_paise: int, **fields: Any) -> Wallet:
    """A wallet with money in it, put there by a posting."""
    wallets.open_wallet(organisation_id=organisation.pk, **fields)
    if amount_paise:
        wallets.top_up(
            organisation_id=organisation.pk, amount_paise=amount_paise, key=f"test-{next(_numbers)}", at=NOON
        )
    return Wallet.objects.get(organisation=organisation)


def sample(
    fleet: Fleet, transaction_ref: str, minutes: float, energy_wh: int | None = None, **fields: Any
) -> MeterValue:
    """One stored reading, `minutes` after noon."""
    defaults: dict[str, Any] = {
        "charger": fleet.charger, "evse_number": 1, "transaction_ref": transaction_ref,
        "at": NOON + timedelta(minutes=minutes), "received_at": NOON + timedelta(minutes=minutes),
        "energy_wh": energy_wh, "sampled": [], "dedupe_key": next(_numbers).to_bytes(16),
    }  # fmt: skip
    return MeterValue.objects.create(**{**defaults, **fields})


def start(fleet: Fleet, **fields: Any) -> StartedSession:
    defaults = {
        "charger_id": fleet.charger.pk,
        "evse_number": None,
        "connector_id": 1,
        "id_token": fleet.token.uid,
        "started_at": NOON,
        "received_at": NOON,
        "meter_start_wh": 1_000,
        "start_key": f"start-{next(_numbers)}",
    }
    return sessions.start_session(**{**defaults, **fields})


def stop(fleet: Fleet, transaction_ref: str, **fields: Any) -> EndedSession:
    defaults = {
        "charger_id": fleet.charger.pk,
        "transaction_ref": transaction_ref,
        "ended_at": NOON + timedelta(minutes=30),
        "received_at": NOON + timedelta(minutes=30),
        "meter_stop_wh": 11_000,
        "reason": "Local",
        "idle_seconds": 0,
    }
    return sessions.end_session(**{**defaults, **fields})
