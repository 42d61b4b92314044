"""The demo city's days for the simulator of dispatch: hubs, VoltGrid's sites, vans with their rounds, strangers."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime

from dispatch.core import choose
from dispatch.simulation.city import DAY_SECONDS, City, Plug, Point, Stranger, Van
from fleetcharge.demo import blueprint
from fleetcharge.demo.geography import LOCALITIES
from fleetcharge.demo.network import draw_network

FIGURES = {
    ("Tata", "Ace EV"): (19_600, 150, 15_000),
    ("Mahindra", "ZEO 21"): (19_600, 135, 20_000),
    ("Euler", "Storm / LongRange"): (27_600, 160, 20_000),
    ("Switch", "IeV 4"): (29_600, 220, 30_000),
    ("Montra", "Eviator"): (73_600, 330, 60_000),
    ("MG", "Windsor EV"): (35_000, 140, 45_000),
}
"""Usable Wh, Wh per km, most DC W, as in the catalogue."""
OWN_PAISE_PER_KWH, PUBLIC_PAISE_PER_KWH = 1_650, 2_200
ROUND_M = 118_000.0
"""What a van with a common battery drives a day; more than one charge for most of them."""
STRANGERS_PER_HOUR = (0.05, 0.45)
"""At a plug, by night and by day."""
BUSY_HOURS = range(8, 22)
MEDIAN_STAY_SECONDS, SPREAD = 27 * 60, 0.6
CIRCUITY = 1.35
RULES = choose.Rules(reserve_percent=5, target_percent=80, cost_per_minute_paise=400)


def draw(seed: int, *, days: int = 7, chargers: int = 60, vehicles: int = 80) -> City:
    """The same city for the same numbers."""
    plan = blueprint.draw(seed, chargers, vehicles)
    plugs = [*_own(plan), *_public(seed, 10_000)]
    rng = random.Random(f"week:{seed}")
    vans = [_van(rng, number, facts, plan, days) for number, facts in enumerate(plan.vehicles, 1)]
    return City(plugs, vans, list(_strangers(rng, plugs, days)), RULES)


def _own(plan: blueprint.Blueprint) -> Iterator[Plug]:
    number = 0
    for place, hub in enumerate(plan.hubs, 1):
        for charger in hub.chargers:
            for plug in charger.plugs:
                number += 1
                yield Plug(
                    number, place, hub.name, (hub.latitude, hub.longitude), plug.plug == blueprint.CCS2,
                    plug.max_power_w, OWN_PAISE_PER_KWH,
                )  # fmt: skip


def _public(seed: int, number: int) -> Iterator[Plug]:
    """Of another network, which takes reservations of nobody."""
    for place, site in enumerate(draw_network(seed, datetime(2026, 1, 1, tzinfo=UTC)).sites, 1_000):
        for bay in site.bays:
            number += 1
            yield Plug(
                number, place, site.name, (site.latitude, site.longitude), bay.is_dc, bay.max_power_w,
                PUBLIC_PAISE_PER_KWH, is_reservable=False,
            )  # fmt: skip


def _van(rng: random.Random, number: int, plan: blueprint.VehiclePlan, city: blueprint.Blueprint, days: int) -> Van:
    battery_wh, wh_per_km, power_w = FIGURES[plan.manufacturer, plan.model]
    facts = choose.VehicleFacts(80.0, battery_wh, wh_per_km, power_w, 3_300)
    home = next((hub.latitude, hub.longitude) for hub in city.hubs if hub.name == plan.depot or hub is city.hubs[-1])
    rounds = [_round(rng, home) for _ in range(days)]
    return Van(number, facts, home, rounds, [rng.uniform(55, 95) for _ in range(days)])


def _round(rng: random.Random, home: Point) -> list[Point]:
    stops, driven_m, here = [], 0.0, home
    while driven_m < ROUND_M:
        latitude, longitude = rng.choice(list(LOCALITIES.values()))
        there = (latitude + rng.uniform(-0.01, 0.01), longitude + rng.uniform(-0.01, 0.01))
        driven_m += CIRCUITY * 111_200 * math.dist(here, there)
        stops.append(there)
        here = there
    return stops


def _strangers(rng: random.Random, plugs: list[Plug], days: int) -> Iterator[Stranger]:
    for plug in plugs:
        for hour in range(days * 24):
            chance = STRANGERS_PER_HOUR[hour % 24 in BUSY_HOURS]
            if rng.random() < chance and hour * 3600 < days * DAY_SECONDS:
                stay = MEDIAN_STAY_SECONDS * math.exp(rng.gauss(0, SPREAD))
                yield Stranger(plug.connector_id, hour * 3600 + rng.uniform(0, 3600), stay)
