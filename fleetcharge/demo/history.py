"""A month that the demo city could have lived: who charged where, when and how much. Pure, from the seed alone."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fleetcharge.demo.blueprint import CCS2
from fleetcharge.demo.manifest import ChargerFacts, Manifest, PlugFacts, VehicleFacts
from fleetcharge.demo.people import NAMMA

INDIA = ZoneInfo("Asia/Kolkata")
FREE_DAY = 6  # Sunday
SHIFT_FROM, SHIFT_TO = time(6), time(22)
FIRST_START, LAST_START = 7.0, 20.0
ELSEWHERE = 0.12
"""Share of visits that go to VoltGrid; strangers' vehicles have only that."""
SLOWEST_W, EFFICIENCY, POWER_SHARE = 2_000, 0.92, 0.8
FRAUDS_PER_MONTH = 2


@dataclass(frozen=True)
class Visit:
    """`charger` and `plug` None: at a bay of VoltGrid, chosen by `place`. `is_fraud`: the card came without the van."""

    vehicle: VehicleFacts
    charger: ChargerFacts | None
    plug: PlugFacts | None
    place: int
    starts_at: datetime
    minutes: int
    idle_minutes: int
    energy_wh: int
    soc_from: float
    soc_to: float
    is_fraud: bool = False

    @property
    def charged_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.minutes)

    @property
    def ends_at(self) -> datetime:
        return self.charged_at + timedelta(minutes=self.idle_minutes)


def days_of(month: date) -> list[date]:
    first = month.replace(day=1)
    days = (first + timedelta(days=number) for number in range(31))
    return [day for day in days if day.month == first.month and day.weekday() != FREE_DAY]


def draw(manifest: Manifest, month: date, *, days: int | None = None) -> list[Visit]:
    """In the order in which they begin. A plug serves one vehicle at a time, and a vehicle is at one plug."""
    rng = random.Random(f"history:{manifest.seed}:{month:%Y-%m}")
    rostered = [vehicle for vehicle in manifest.vehicles if not vehicle.is_off_shift]
    chargers = [charger for charger in manifest.chargers if not charger.quirks]
    taken: dict[str, list[tuple[datetime, datetime]]] = {}
    visits = [
        visit
        for day in days_of(month)[:days]
        for vehicle in rostered
        for visit in _day(rng, day, vehicle, chargers, taken)
    ]
    visits.sort(key=lambda visit: (visit.starts_at, visit.vehicle.id))
    return _with_frauds(visits)


def _with_frauds(visits: list[Visit]) -> list[Visit]:
    own = [index for index, visit in enumerate(visits) if visit.charger is not None]
    chosen = own[len(own) // 3 :: max(1, len(own) // 2)][:FRAUDS_PER_MONTH]
    return [Visit(**{**vars(each), "is_fraud": index in chosen}) for index, each in enumerate(visits)]


def _day(
    rng: random.Random, day: date, vehicle: VehicleFacts, chargers: Sequence[ChargerFacts],
    taken: dict[str, list[tuple[datetime, datetime]]],
) -> Iterator[Visit]:  # fmt: skip
    hours = rng.uniform(FIRST_START, LAST_START)
    starts_at = datetime.combine(day, time(), INDIA) + timedelta(seconds=int(hours * 3600))
    soc_from, soc_to = round(rng.uniform(14, 38), 1), round(rng.uniform(78, 92), 1)
    idle = rng.choice((0, 0, 0, 6, 12))  # whole tenths of an hour: VoltGrid rounds to them
    is_elsewhere = vehicle.fleet != NAMMA or (rng.random() < ELSEWHERE and CCS2 in vehicle.plugs)
    order = rng.sample(range(len(chargers)), len(chargers))
    for number in [-1] if is_elsewhere else order:
        plug = None if is_elsewhere else _free_plug(chargers[number], vehicle, starts_at, taken)
        if plug is None and not is_elsewhere:
            continue
        visit = _visit(vehicle, None if is_elsewhere else chargers[number], plug, order[0], starts_at, idle,
                       (soc_from, soc_to))  # fmt: skip
        if plug is not None:
            taken.setdefault(plug.public_id, []).append((visit.starts_at, visit.ends_at + timedelta(minutes=5)))
        yield visit
        return


def _free_plug(
    charger: ChargerFacts, vehicle: VehicleFacts, at: datetime, taken: dict[str, list[tuple[datetime, datetime]]]
) -> PlugFacts | None:
    """One that fits, and that nobody uses within the next eight hours."""
    until = at + timedelta(hours=8)
    for plug in charger.plugs:
        if plug.plug not in vehicle.plugs:
            continue
        if all(end <= at or start >= until for start, end in taken.get(plug.public_id, [])):
            return plug
    return None


def _visit(
    vehicle: VehicleFacts, charger: ChargerFacts | None, plug: PlugFacts | None, place: int, starts_at: datetime,
    idle_minutes: int, soc: tuple[float, float],
) -> Visit:  # fmt: skip
    is_dc = plug is None or plug.plug == CCS2
    most = vehicle.max_dc_power_w if is_dc else vehicle.max_ac_power_w
    power_w = max(SLOWEST_W, int(min(most or SLOWEST_W, plug.max_power_w if plug else 30_000) * POWER_SHARE))
    stored_wh = vehicle.battery_wh * (soc[1] - soc[0]) / 100
    energy_wh = round(stored_wh / EFFICIENCY)
    minutes = max(5, -(-energy_wh * 60 // power_w))
    return Visit(vehicle, charger, plug, place, starts_at, minutes, idle_minutes, energy_wh, *soc)
