"""A small fleet inside a running system: two hubs, one van, one wallet, one key. Returned as plain values."""

SEED = """
import json
from datetime import timedelta
from django.utils import timezone
from billing.services import wallets
from fleetcharge.accounts import services as accounts
from fleetcharge.accounts.models import Membership, Organisation, Scope, User
from fleetcharge.lib import crypto
from stations import services as stations
from stations.models import EVSE, Charger, Connector, Location, Source, Tariff
from vehicles.models import Driver, IdToken, Shift, Stop, Vehicle, VehicleModel

now = timezone.now()
fleet = Organisation.objects.create(name="Namma Logistics", slug="namma")
for role, email in (("dispatcher", "asha@namma.example"), ("finance", "farid@namma.example")):
    user = User.objects.create_user(email, "correct horse battery", full_name=email.split("@")[0].title(),
                                    is_staff=role == "finance")
    Membership.objects.create(user=user, organisation=fleet, role=role)
key, secret = accounts.create_api_key(organisation=fleet, name="test", scopes=list(Scope.values))
source = Source.objects.create(slug="own", name="Own chargers", kind="ocpp-own", organisation=fleet, state="connected")
elements = [{"price_components": [{"type": "ENERGY", "price": "20.00", "step_size": 1},
                                  {"type": "PARKING_TIME", "price": "120.00", "step_size": 60}]}]
tariff = Tariff.objects.create(source=source, external_id="day", name="Day", elements=elements, content_hash="seed",
                               valid_from=now - timedelta(days=30))
keys = {}
for number, (name, latitude, longitude) in enumerate((("Marathahalli Hub", 12.9595, 77.7000),
                                                      ("Bellandur Hub", 12.9260, 77.6762)), start=1):
    site = Location.objects.create(source=source, organisation=fleet, name=name, city="Bengaluru",
                                   latitude=latitude, longitude=longitude)
    for unit in range(CHARGERS_PER_HUB):
        identity, secret_key = f"HUB{number}-{unit:03d}", crypto.new_token(12)
        charger = Charger.objects.create(organisation=fleet, location=site, ocpp_identity=identity,
            auth_key_hash=crypto.keyed_hash(secret_key, purpose=Charger.KEY_PURPOSE))
        evse = EVSE.objects.create(location=site, charger=charger, evse_number=1, physical_reference=str(unit + 1))
        Connector.objects.create(evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000, max_voltage_v=1000,
                                 max_current_a=150, tariff=tariff)
        keys[identity] = secret_key
model, _ = VehicleModel.objects.get_or_create(manufacturer="Test", name="eVan", defaults=dict(
    battery_wh=30_000, plugs=["ccs2"], max_dc_power_w=50_000, consumption_wh_per_km=200))
vehicles = {}
for number in range(VEHICLES):
    driver = Driver.objects.create(organisation=fleet, name=f"Imran S {number}" if number else "Imran S")
    van = Vehicle.objects.create(organisation=fleet, registration=f"KA 03 MX {4471 + number}", model=model,
                                 device_id=f"van-{number}", default_driver=driver)
    IdToken.objects.create(organisation=fleet, uid=f"TAG{number:04d}", vehicle=van, driver=driver)
    Shift.objects.create(organisation=fleet, vehicle=van, driver=driver, starts_at=now - timedelta(hours=6),
                         ends_at=now + timedelta(hours=6))
    Stop.objects.create(vehicle=van, sequence=1, name="Whitefield DC", latitude=12.982, longitude=77.757)
    vehicles[van.device_id] = van.pk
wallets.open_wallet(organisation_id=fleet.pk)
wallets.top_up(organisation_id=fleet.pk, amount_paise=50_00_000, key="seed", at=now, reason="seed")
print(json.dumps({"organisation": fleet.pk, "api_key": secret, "charger_keys": keys, "vehicles": vehicles}))
"""


def seed_code(*, chargers_per_hub: int = 1, vehicles: int = 1) -> str:
    return SEED.replace("CHARGERS_PER_HUB", str(chargers_per_hub)).replace("VEHICLES", str(vehicles))
