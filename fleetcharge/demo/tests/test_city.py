"""The city tells the same story for the same seed, and a lively one."""

from fleetcharge.demo import vehicle as v
from fleetcharge.demo.tests.factories import NOW, System, city_of, live

HERO = "KA 03 MX 4471"


def test_the_same_seed_tells_the_same_story() -> None:
    stories = []
    for _ in range(2):
        city = city_of(seed=11, vehicles=30)
        live(city, 240)
        places = [(name, vehicle.place, vehicle.pack.soc_percent) for name, vehicle in city.vehicles.items()]
        stories.append((list(city.events), places, {bay.key: bay.status for bay in city.network.all_bays}))
    assert len(stories[0][0]) > 5
    assert stories[0] == stories[1]


def test_another_seed_tells_another_story() -> None:
    first, second = city_of(seed=1, vehicles=10), city_of(seed=2, vehicles=10)
    assert first.vehicles.keys() != second.vehicles.keys()


def test_one_vehicle_runs_low_within_the_first_half_minute() -> None:
    city = city_of()
    now = live(city, 18)
    assert city.vehicles[HERO].pack.soc_percent > 20
    live(city, 12, start=now)
    assert city.vehicles[HERO].pack.soc_percent < 20


def test_a_handful_is_charging_from_the_start() -> None:
    city = city_of()
    live(city, 5, system=System())
    charging = [bay for bay in city.own_bays if bay.status == "Charging"]
    assert len(charging) >= 5


def test_nobody_moves_faster_than_the_system_believes() -> None:
    city = city_of(speed=50)
    vehicle = city.vehicles[HERO]
    before = vehicle.odometer_m
    live(city, 1)
    assert vehicle.odometer_m - before <= 115 / 3.6 + 0.1


def test_a_stranded_vehicle_is_towed_and_charges_without_a_jump_of_its_battery() -> None:
    city = city_of(vehicles=12)
    vehicle = city.vehicles[HERO]
    vehicle.pack.soc_percent = 1.4
    now = live(city, 2, system=System())
    assert vehicle.state == v.STRANDED
    highest_step, last = 0.0, vehicle.pack.soc_percent
    for _ in range(900):
        now = live(city, 1, start=now, system=System())
        highest_step = max(highest_step, vehicle.pack.soc_percent - last)
        last = vehicle.pack.soc_percent
        if vehicle.state == v.PLUGGED_IN and last > 10:
            break
    assert last > 10
    assert highest_step < 1.0


def test_a_misused_card_charges_far_from_its_vehicle() -> None:
    city, system = city_of(), System()
    now = live(city, 30, system=system)
    bay = city.misuse(now)
    assert bay is not None
    live(city, 10, start=now, system=system)
    assert bay.visit is not None
    owner = next(vehicle for vehicle in city.vehicles.values() if vehicle.facts.token_uid == bay.visit.token)
    assert bay.visit.vehicle == f"impostor of {owner.registration}"
    assert abs(owner.place[0] - bay.latitude) + abs(owner.place[1] - bay.longitude) > 0.02
    assert now > NOW


def test_one_vehicle_is_plugged_in_and_waits_until_somebody_starts_it() -> None:
    city, system = city_of(), System()
    now = live(city, 60, system=system)
    waiting = [one for one in city.vehicles.values() if one.has_no_card]
    assert len(waiting) == 1
    [vehicle] = waiting
    bay = vehicle.bay
    assert bay is not None
    assert (bay.visit and bay.visit.state, bay.status, vehicle.charging) == ("plugged", "Preparing", "no")
    assert vehicle.facts.token_uid not in str(system.heard)
    charger = city.chargers[bay.key.partition("/")[0]]
    assert not charger.quirks
    start = {"connectorId": bay.number, "idTag": vehicle.facts.token_uid}
    remote = {
        "evseId": bay.number,
        "remoteStartId": 7,
        "idToken": {"idToken": vehicle.facts.token_uid, "type": "ISO14443"},
    }
    is_16 = charger.dialect.subprotocol == "ocpp1.6"
    action, payload = ("RemoteStartTransaction", start) if is_16 else ("RequestStartTransaction", remote)
    assert charger.on_call(action, payload, now)["status"] == "Accepted"  # type: ignore[index]
    now = live(city, 10, start=now, system=system)
    assert (vehicle.charging, bay.status) == ("dc" if bay.is_dc else "ac", "Charging")
    for _ in range(1200):
        now = live(city, 5, start=now, system=system)
        if vehicle.bay is not bay:
            break
    assert vehicle.bay is not bay  # it goes back to work when it is full
