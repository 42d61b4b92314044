"""Puts the demo city's fleets, chargers, tokens and wallet into the database; running it again mends and renews."""

import hashlib
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max

from billing.services.wallets import open_wallet, top_up
from fleetcharge.accounts.models import APIKey, Organisation, Scope
from fleetcharge.accounts.services import create_api_key, find_api_key
from fleetcharge.demo import blueprint as plans
from fleetcharge.demo.charger import METER_EVERY
from fleetcharge.demo.manifest import UBC_BAP, UBC_KEY, ChargerFacts, FleetKeys, Manifest, PlugFacts, VehicleFacts
from fleetcharge.demo.peers import vendor
from fleetcharge.demo.people import NAMMA, ORGANISATIONS, seed_people
from fleetcharge.demo.taxes import seed_taxes
from fleetcharge.lib import crypto
from ocpp_bridge.models import DesiredConfiguration
from stations.cpo.ubc import signing
from stations.cpo.ubc.models import UBCNetwork
from stations.cpo.webhooks.models import WebhookFeed
from stations.models import EVSE, Charger, Connector, Location, NetworkAccess, Source, Tariff
from stations.services import cache_tariff
from vehicles.models import Driver, IdToken, Shift, Vehicle, VehicleModel

OWN_NETWORK, VOLTGRID, CITYPLUG, SURYA, KAVERI = "namma-own", "voltgrid", "cityplug", "surya", "kaveri"
NETWORKS = (OWN_NETWORK, VOLTGRID, CITYPLUG, SURYA, KAVERI)
CDS = "cds.ubc.example"
SHIFT = timedelta(hours=12)
RENEW_BEFORE = timedelta(hours=6)
CITY_WAKES_WITHIN = timedelta(seconds=12)
OPENING_BALANCE_PAISE = 50_000_000
KEY_SCOPES = {
    "telemetry": [Scope.TELEMETRY_WRITE],
    "integrator": [Scope.STATIONS_READ, Scope.VEHICLES_READ, Scope.VEHICLES_WRITE, Scope.DISPATCH_READ],
}


def seed_demo(*, seed: int, chargers: int, vehicles: int, demo_port: int, var: Path, now: datetime) -> Manifest:
    """Everything the city needs; afterwards the manifest and the list of people lie under `var`."""
    digest = hashlib.sha256(repr((plans.draw(seed, chargers, vehicles), demo_port)).encode()).hexdigest()
    manifest = Manifest.load(var)
    if manifest is None or manifest.digest != digest or not _is_complete(manifest):
        manifest = _build(manifest, plans.draw(seed, chargers, vehicles), digest, demo_port, now)
        manifest.save(var)
    seed_people(var)
    seed_taxes()
    renew_shifts(manifest, now)
    return manifest


def _is_complete(manifest: Manifest) -> bool:
    """Cheap proof that this database is the one the manifest was written for."""
    identities = [charger.identity for charger in manifest.chargers]
    vehicle_ids = [vehicle.id for vehicle in manifest.vehicles]
    return (
        Charger.objects.filter(ocpp_identity__in=identities).count() == len(identities)
        and Vehicle.objects.filter(pk__in=vehicle_ids, is_active=True).count() == len(vehicle_ids)
        and Source.objects.filter(slug__in=NETWORKS).count() == len(NETWORKS)
        and NetworkAccess.objects.filter(source__slug=KAVERI).exists()
        and all(find_api_key(keys.telemetry) and find_api_key(keys.integrator) for keys in manifest.fleets.values())
    )


@transaction.atomic
def _build(old: Manifest | None, drawn: plans.Blueprint, digest: str, demo_port: int, now: datetime) -> Manifest:
    token_a = old.token_a if old else crypto.new_token()
    manifest = Manifest(drawn.seed, digest, demo_port, token_a)
    fleets = {slug: _organisation(slug, name, mode) for slug, (name, mode) in ORGANISATIONS.items()}
    for slug, fleet in fleets.items():
        manifest.fleets[slug] = _keys(fleet, old.fleets.get(slug) if old else None)
        _wallet(fleet, now)
    own = _own_network(fleets[NAMMA], now)
    peers = [
        _ocpi_network(VOLTGRID, "VoltGrid", Source.Kind.OCPI_221, f"{_door(demo_port)}/ocpi/versions", token_a, now),
        _ocpi_network(
            CITYPLUG, "CityPlug", Source.Kind.OCPI_211, f"{_door(demo_port)}/{CITYPLUG}/versions",
            manifest.secret_of(CITYPLUG), now,
        ),
        _surya(manifest, now),
        _kaveri(manifest, now),
    ]  # fmt: skip
    for fleet in fleets.values():
        for peer in peers:
            NetworkAccess.objects.get_or_create(organisation=fleet, source=peer)
    known = {charger.identity: charger.password for charger in old.chargers} if old else {}
    for hub in drawn.hubs:
        manifest.chargers += _hub(own, hub, known)
    for slug, vehicles in ((NAMMA, drawn.vehicles), ("deccan-cabs", drawn.cabs)):
        models = {f"{model.manufacturer} {model.name}": model for model in VehicleModel.objects.all()}
        manifest.vehicles += [_vehicle(fleets[slug], plan, models) for plan in vehicles]
    return manifest


# --- organisations, keys, money -----------------------------------------------------------------------------------
def _organisation(slug: str, name: str, mode: str) -> Organisation:
    organisation, _ = Organisation.objects.get_or_create(slug=slug, defaults={"name": name, "dispatch_mode": mode})
    return organisation


def _keys(organisation: Organisation, old: FleetKeys | None) -> FleetKeys:
    """The keys of the manifest when the database still knows them, else fresh ones."""
    keys = {}
    for purpose, scopes in KEY_SCOPES.items():
        secret = getattr(old, purpose, "")
        if not (secret and find_api_key(secret)):
            APIKey.objects.filter(organisation=organisation, name=f"Demo city, {purpose}").delete()
            _, secret = create_api_key(organisation=organisation, name=f"Demo city, {purpose}", scopes=scopes)
        keys[purpose] = secret
    return FleetKeys(**keys)


def _wallet(organisation: Organisation, now: datetime) -> None:
    open_wallet(organisation_id=organisation.pk, low_threshold_paise=2_000_000)
    reason = "Opening balance of the demo"
    top_up(organisation_id=organisation.pk, amount_paise=OPENING_BALANCE_PAISE, key="demo", at=now, reason=reason)


# --- networks -----------------------------------------------------------------------------------------------------
def _own_network(organisation: Organisation, now: datetime) -> Source:
    own, _ = Source.objects.get_or_create(
        slug=OWN_NETWORK,
        defaults={
            "name": "Namma Charge",
            "kind": Source.Kind.OWN_OCPP,
            "organisation": organisation,
            "trust": 90,
            "state": Source.State.CONNECTED,
        },
    )
    for external_id, (name, per_kwh, per_idle_hour) in plans.TARIFFS.items():
        elements = tariff_elements(per_kwh, per_idle_hour)
        cache_tariff(source=own, external_id=external_id, elements=elements, currency="INR", at=now, name=name)
    DesiredConfiguration.objects.update_or_create(
        organisation=organisation,
        name="Demo: samples every five seconds",
        defaults={"values": {"MeterValueSampleInterval": str(METER_EVERY.seconds)}},
    )
    return own


def tariff_elements(per_kwh: str, per_idle_hour: str) -> list[dict[str, Any]]:
    """OCPI: rupees per kWh, and per hour of being plugged in and full, counted by the minute."""
    components = [
        {"type": "ENERGY", "price": per_kwh, "step_size": 1},
        {"type": "PARKING_TIME", "price": per_idle_hour, "step_size": 60},
    ]
    return [{"price_components": components}]


def _door(demo_port: int) -> str:
    return f"http://127.0.0.1:{demo_port}"


def _ocpi_network(slug: str, name: str, kind: str, base_url: str, token_a: str, now: datetime) -> Source:
    """A public CPO that answers on loopback; registered with TOKEN_A until the handshake replaces it."""
    source, is_new = Source.objects.get_or_create(
        slug=slug, defaults={"name": name, "kind": kind, "trust": 70, "poll_interval_seconds": 900}
    )
    if is_new or source.base_url != base_url:
        source.base_url, source.peer_token, source.endpoints = base_url, token_a, {}
        source.state, source.our_token_hash = Source.State.NEW, ""
        source.next_poll_at = now + CITY_WAKES_WITHIN
        source.save()
    return source


def _surya(manifest: Manifest, now: datetime) -> Source:
    """A CPO on UBC, with its registry and its discovery service; it never pushes, so it is asked every two minutes."""
    source, _ = Source.objects.get_or_create(
        slug=SURYA,
        defaults={"name": "Surya Charge", "kind": Source.Kind.UBC_09, "trust": 60, "poll_interval_seconds": 120},
    )
    door = f"{_door(manifest.demo_port)}/{SURYA}"
    registry_url = f"{door}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}"
    network = UBCNetwork.objects.filter(source=source).first() or UBCNetwork(source=source)
    if network.registry_url != registry_url:
        network.registry_url, network.gateway_id, network.gateway_url = registry_url, CDS, f"{door}/cds"
        network.subscriber_id, network.key_id = UBC_BAP, UBC_KEY
        network.areas = [{"latitude": 12.97, "longitude": 77.6, "radius_m": 30_000}]
        network.buyer = {"name": "Namma Logistics"}
        network.signing_key = network.signing_key or signing.new_key_pair()[0]
        network.save()
        network.keys.all().delete()
        Source.objects.filter(pk=source.pk).update(next_poll_at=now + CITY_WAKES_WITHIN)
    manifest.ubc_public_key = signing.public_of(network.signing_key)
    return source


def _kaveri(manifest: Manifest, now: datetime) -> Source:
    """A vendor with JSON of its own, pushed and polled; it takes no commands, so plugs there are held by us alone."""
    source, is_new = Source.objects.get_or_create(
        slug=KAVERI,
        defaults={
            "name": vendor.NAME, "kind": Source.Kind.REST_POLL, "trust": 40, "poll_interval_seconds": 600,
            "attribution": "Status by Kaveri Charge",
        },
    )  # fmt: skip
    plan = vendor.poll_plan(f"{_door(manifest.demo_port)}/{KAVERI}")
    feed = WebhookFeed.objects.filter(source=source).first() or WebhookFeed(source=source)
    secret = manifest.secret_of(KAVERI)
    if is_new or feed.poll != plan or feed.secret != secret:
        feed.mapping, feed.poll, feed.poll_mapping = vendor.MAPPING, plan, vendor.POLL_MAPPING
        feed.signature_header, feed.timestamp_header = vendor.SIGNATURE_HEADER, ""
        feed.secret = feed.poll_key = secret
        feed.save()
        Source.objects.filter(pk=source.pk).update(next_poll_at=now + CITY_WAKES_WITHIN)
    return source


def _hub(own: Source, hub: plans.HubPlan, known: dict[str, str]) -> list[ChargerFacts]:
    location, _ = Location.objects.update_or_create(
        source=own,
        name=hub.name,
        defaults={
            "organisation": own.organisation,
            "address": hub.address,
            "city": "Bengaluru",
            "state": "Karnataka",
            "latitude": hub.latitude,
            "longitude": hub.longitude,
            "is_removed": False,
        },
    )
    tariffs = {tariff.external_id: tariff for tariff in Tariff.objects.filter(source=own, valid_to=None)}
    return [_charger(location, hub, plan, known, tariffs) for plan in hub.chargers]


def _charger(
    location: Location, hub: plans.HubPlan, plan: plans.ChargerPlan, known: dict[str, str], tariffs: dict[str, Tariff]
) -> ChargerFacts:
    password = known.get(plan.identity) or secrets.token_hex(16)
    assert location.organisation is not None
    charger, _ = Charger.objects.update_or_create(
        ocpp_identity=plan.identity,
        defaults={
            "organisation": location.organisation,
            "location": location,
            "auth_key_hash": crypto.keyed_hash(password, purpose=Charger.KEY_PURPOSE),
            "subprotocols": [plan.protocol],
            "registration": Charger.Registration.ACCEPTED,
        },
    )
    plugs = [_plug(charger, plan, plug, tariffs) for plug in plan.plugs]
    return ChargerFacts(
        plan.identity, password, plan.protocol, plan.model, hub.name, hub.latitude, hub.longitude, plugs,
        list(plan.quirks),
    )  # fmt: skip


def _plug(charger: Charger, plan: plans.ChargerPlan, plug: plans.PlugPlan, tariffs: dict[str, Tariff]) -> PlugFacts:
    evse, _ = EVSE.objects.update_or_create(
        charger=charger,
        evse_number=plug.number,
        defaults={"location": charger.location, "physical_reference": f"Bay {plug.number}"},
    )
    is_dc = plug.plug == plans.CCS2
    connector, _ = Connector.objects.update_or_create(
        evse=evse,
        connector_id=plug.number if plan.protocol == "ocpp1.6" else 1,
        defaults={
            "plug": plug.plug,
            "format": Connector.Format.CABLE if is_dc else Connector.Format.SOCKET,
            "power_type": Connector.PowerType.DC if is_dc else Connector.PowerType.AC_3_PHASE,
            "max_power_w": plug.max_power_w,
            "max_voltage_v": 920 if is_dc else 230,
            "max_current_a": 200 if is_dc else 32,
            "tariff": tariffs[plug.tariff_id],
        },
    )
    return PlugFacts(plug.number, plug.plug, plug.max_power_w, connector.public_id)


# --- vehicles -----------------------------------------------------------------------------------------------------
def _vehicle(organisation: Organisation, plan: plans.VehiclePlan, models: dict[str, VehicleModel]) -> VehicleFacts:
    model = models[f"{plan.manufacturer} {plan.model}"]
    vehicle = Vehicle.objects.filter(organisation=organisation, registration=plan.registration).first()
    if vehicle is None:
        driver = Driver.objects.create(organisation=organisation, name=plan.driver)
        vehicle = Vehicle(organisation=organisation, registration=plan.registration, default_driver=driver)
    vehicle.model, vehicle.device_id, vehicle.depot_name, vehicle.is_active = model, plan.device_id, plan.depot, True
    vehicle.save()
    token = {"organisation": organisation, "vehicle": vehicle, "is_active": True}
    IdToken.objects.update_or_create(uid=plan.token_uid, defaults=token)
    return VehicleFacts(
        vehicle.pk, organisation.slug, plan.registration, plan.device_id, plan.token_uid, model.vehicle_class,
        model.plugs, model.battery_wh, model.max_ac_power_w, model.max_dc_power_w, model.charge_curve,
        model.consumption_wh_per_km, vehicle.default_driver_id or 0, plan.is_off_shift,
    )  # fmt: skip


@transaction.atomic
def renew_shifts(manifest: Manifest, now: datetime) -> int:
    """Every rostered vehicle is on shift for at least six more hours; returns how many shifts were added."""
    rostered = [vehicle for vehicle in manifest.vehicles if not vehicle.is_off_shift]
    last_ends = dict(
        Shift.objects.filter(vehicle__in=[vehicle.id for vehicle in rostered], ends_at__gt=now - SHIFT)
        .values_list("vehicle")
        .annotate(last=Max("ends_at"))
    )
    fresh = [
        Shift(
            organisation_id=organisation_id,
            vehicle_id=vehicle.id,
            driver_id=vehicle.driver_id,
            starts_at=last_ends.get(vehicle.id, now - SHIFT),
            ends_at=now + SHIFT,
        )
        for organisation_id, vehicle in _with_organisation(rostered)
        if last_ends.get(vehicle.id, now) < now + RENEW_BEFORE
    ]
    return len(Shift.objects.bulk_create(fresh))


def _with_organisation(vehicles: list[VehicleFacts]) -> list[tuple[int, VehicleFacts]]:
    ids = dict(Organisation.objects.filter(slug__in=ORGANISATIONS).values_list("slug", "pk"))
    return [(ids[vehicle.fleet], vehicle) for vehicle in vehicles]
