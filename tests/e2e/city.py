"""A small Bengaluru in the database: named hubs with plugs, vans that have reported, and one that will not reach."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from dispatch.models import Alert, ChargePlan
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Charger, Connector, Location, NetworkAccess, Source, Tariff
from vehicles.models import Driver, IdToken, Stop, Vehicle, VehicleModel, VehicleState

HUBS = [
    ("Marathahalli Hub", 12.9595, 77.7000, "aacf"), ("Indiranagar 100 Ft", 12.9784, 77.6380, "aaacco"),
    ("Koramangala 5th Block", 12.9352, 77.6215, "rrrr"), ("Hebbal Depot", 13.0330, 77.5935, "aaaaaccc"),
    ("HSR Layout", 12.9140, 77.6405, "ac"), ("KR Puram", 13.0040, 77.6925, "cccc"),
    ("Jayanagar 4th Block", 12.9270, 77.5815, "aacc"), ("BTM Layout", 12.9000, 77.5985, "cccccc"),
    ("Banaswadi", 12.9965, 77.6120, "accc"), ("Nayandahalli", 12.9510, 77.5450, "aaac"),
    ("Nagavara", 13.0450, 77.6210, "aacccc"), ("MG Road", 12.9725, 77.5965, "cccc"),
    ("Bommanahalli", 12.8860, 77.6375, "aaaaaacc"), ("Peenya Yard 02", 12.9380, 77.5675, "uu"),
    ("Malleshwaram", 13.0120, 77.5630, "acc"), ("Adugodi", 12.9500, 77.6150, "aacc"),
    ("Kalyan Nagar", 13.0150, 77.6600, "aaac"), ("Whitefield Main", 12.9710, 77.7465, "aaaacc"),
    ("Electronic City", 12.8450, 77.6630, "ff"),
]  # fmt: skip
STATUSES = {"a": "available", "c": "charging", "r": "reserved", "f": "faulted", "o": "occupied", "u": "unknown"}
ROADS = [
    (13.0358, 77.597), (13.0225, 77.645), (12.986, 77.689), (12.9562, 77.701), (12.9255, 77.676), (12.9177, 77.6238),
    (12.9165, 77.605), (12.907, 77.587), (12.927, 77.55), (12.96, 77.513), (13.029, 77.52), (12.977, 77.626),
    (12.991, 77.652), (12.943, 77.609), (12.875, 77.642), (12.845, 77.663), (12.9767, 77.5713), (12.9352, 77.6245),
    (12.97, 77.75), (12.957, 77.727), (12.988, 77.715), (13.06, 77.596), (12.903, 77.6245), (12.944, 77.588),
]  # fmt: skip


@dataclass(frozen=True)
class City:
    """The rows a test asks about."""

    vans: list[Vehicle]
    hubs: dict[str, Location]
    late: Vehicle
    plan: ChargePlan
    alert: Alert


def build_city(fleet: Organisation, *, vans: int = 24) -> City:
    source = Source.objects.create(
        slug=f"voltgrid-{fleet.pk}", name="VoltGrid", kind="ocpp-own", organisation=fleet, state="connected"
    )
    NetworkAccess.objects.create(organisation=fleet, source=source)
    tariff = make_tariff(source)
    hubs = {name: make_hub(fleet, source, tariff, name, lat, lon, plugs) for name, lat, lon, plugs in HUBS}
    model = VehicleModel.objects.create(
        manufacturer="Test", name=f"eVan {fleet.pk}", battery_wh=30_000, plugs=["ccs2"], max_dc_power_w=50_000,
        consumption_wh_per_km=135,
    )  # fmt: skip
    fleet_vans = [make_van(fleet, model, number) for number in range(vans)]
    late = fleet_vans[0]
    plan = make_plan(fleet, late, hubs["Marathahalli Hub"])
    alert = make_alert(fleet, plan)
    return City(fleet_vans, hubs, late, plan, alert)


def make_tariff(source: Source) -> Tariff:
    prices = [{"type": "ENERGY", "price": "19.50", "step_size": 1}, {"type": "PARKING_TIME", "price": "120.00"}]
    return Tariff.objects.create(
        source=source, external_id="day", name="Day", elements=[{"price_components": prices}], content_hash="day"
    )


def make_hub(
    fleet: Organisation, source: Source, tariff: Tariff, name: str, latitude: float, longitude: float, plugs: str
) -> Location:
    site = Location.objects.create(
        source=source, organisation=fleet, name=name, address="Outer Ring Rd", city="Bengaluru",
        latitude=latitude, longitude=longitude,
    )  # fmt: skip
    now = timezone.now()
    for number, letter in enumerate(plugs, start=1):
        charger = Charger.objects.create(
            organisation=fleet, location=site, ocpp_identity=f"F{fleet.pk}-{site.pk}-{number}", is_online=True
        )
        evse = EVSE.objects.create(location=site, charger=charger, evse_number=1, physical_reference=str(number))
        is_slow = number == 3
        Connector.objects.create(
            evse=evse, connector_id=1, plug="type2_cable" if is_slow else "ccs2", tariff=tariff,
            max_power_w=22_000 if is_slow else 120_000, status=STATUSES[letter], reported_status=STATUSES[letter],
            status_at=now, heard_at=now, status_since=now - timedelta(minutes=7 * number),
            error_code="GroundFailure" if letter == "f" else "",
        )  # fmt: skip
    return site


def make_van(fleet: Organisation, model: VehicleModel, number: int, **fields: Any) -> Vehicle:
    """The first is at 14 % near Bellandur; every fifth charges; some are parked, one is silent, four are low."""
    now = timezone.now()
    driver = Driver.objects.create(organisation=fleet, name=f"{['Imran', 'Lakshmi', 'Joseph', 'Ravi'][number % 4]} S")
    plate = fields.pop("registration", f"KA 03 MX {4471 + number}")
    van = Vehicle.objects.create(
        organisation=fleet, registration=plate, model=model, device_id=f"van-{fleet.pk}-{number}",
        default_driver=driver,
    )  # fmt: skip
    IdToken.objects.create(organisation=fleet, uid=f"TAG{fleet.pk}-{number:04d}", vehicle=van, driver=driver)
    Stop.objects.create(vehicle=van, sequence=1, name="Whitefield DC", latitude=12.982, longitude=77.757)
    is_low, is_charging = number < 4, number % 5 == 4
    latitude, longitude = (12.9255, 77.6655) if number == 0 else ROADS[number % len(ROADS)]
    spread = number // len(ROADS) * 0.006
    soc = (14, 11, 17, 18)[number] if is_low else 30 + number * 7 % 60
    state = {
        "latitude": latitude + spread, "longitude": longitude + spread / 2, "soc_percent": soc, "soc_at": now,
        "heading_deg": number * 47 % 360, "speed_kmh": 0 if is_charging or number % 7 == 6 else 24,
        "is_charging": is_charging, "is_soc_low": is_low, "soc_low_at": now if is_low else None,
        "position_at": now - timedelta(minutes=18 if number == 10 else 0), "received_at": now, "version": 1, **fields,
    }  # fmt: skip
    VehicleState.objects.create(vehicle=van, **state)
    return van


def make_plan(fleet: Organisation, van: Vehicle, hub: Location, **fields: Any) -> ChargePlan:
    """A proposal as the planner writes it."""
    now = timezone.now()
    promised = ChargePlan.objects.open().values("connector")
    connector = Connector.objects.filter(evse__location=hub, status="available").exclude(pk__in=promised).first()
    values = {
        "trigger": "soc_low", "trigger_key": f"soc_low:{van.pk}:1", "soc_percent": 14, "arrival_soc_percent": 8,
        "target_soc_percent": 60, "energy_wh": 15_600, "distance_m": 5_400, "detour_m": 2_100, "drive_seconds": 540,
        "charge_seconds": 1_320, "delay_seconds": 540, "cost_paise": 41_200, "engine": "crow",
        "plug_in_at": now + timedelta(minutes=9), "done_at": now + timedelta(minutes=31),
        "route": {
            "old": [[12.9255, 77.6655], [12.92, 77.66], [12.9135, 77.678], [12.903, 77.703], [12.917, 77.735],
                    [12.94, 77.745], [12.957, 77.737], [12.97, 77.75], [12.982, 77.757]],
            "new": [[12.9255, 77.6655], [12.9258, 77.677], [12.939, 77.695], [12.9562, 77.701], [12.9595, 77.7]],
            "onward": [[12.9595, 77.7], [12.957, 77.727], [12.97, 77.75], [12.982, 77.757]],
        },
        **fields,
    }  # fmt: skip
    return ChargePlan.objects.create(organisation=fleet, vehicle=van, connector=connector, **values)


def make_alert(fleet: Organisation, plan: ChargePlan, **fields: Any) -> Alert:
    assert plan.connector is not None
    site = plan.connector.evse.location
    values = {
        "kind": "will_not_reach", "severity": "bad", "title": f"{plan.vehicle.registration} will not reach",
        "body": f"14 % left, needs 37 km, has 31 km. {site.name} has a free 120 kW CCS2 on the way.",
        "dedupe_key": f"vehicle:{plan.vehicle_id}", "location": site, "revision": Alert.objects.count() + 1,
        "opened_at": timezone.now() - timedelta(seconds=48), **fields,
    }  # fmt: skip
    values.setdefault("opened_revision", values["revision"])
    return Alert.objects.create(organisation=fleet, vehicle=plan.vehicle, plan=plan, **values)


def more_alerts(fleet: Organisation, city: City) -> None:
    """What else a morning brings."""
    now, number = timezone.now(), Alert.objects.count()
    rows = [
        ("reservation_lost", "warn", "Reserved bay is blocked", "KA 03 MX 4473 · Koramangala 5th Block"),
        ("money", "warn", "Session off shift, ₹1,104 held", "KA 03 MX 4475 · 23.1 km from last GPS fix"),
        ("charger_silent", "bad", "Charger stopped reporting", "Peenya Yard 02 · 2 vehicles due by 15:10"),
    ]
    for place, (kind, severity, title, body) in enumerate(rows, start=1):
        Alert.objects.create(
            organisation=fleet, kind=kind, severity=severity, title=title, body=body, dedupe_key=kind,
            revision=number + place, opened_revision=number + place, location=city.hubs["Peenya Yard 02"],
            opened_at=now - timedelta(minutes=place),
        )  # fmt: skip
