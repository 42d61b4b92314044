"""A small city and a system that says yes, for tests without I/O."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fleetcharge.demo import blueprint
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.city import City
from fleetcharge.demo.manifest import ChargerFacts, FleetKeys, Manifest, PlugFacts, VehicleFacts
from fleetcharge.demo.roads import bengaluru

NOW = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
ROADS = bengaluru()


def manifest_of(seed: int = 7, chargers: int = 60, vehicles: int = 80) -> Manifest:
    """What seed_demo would write, with round figures for every vehicle."""
    drawn = blueprint.draw(seed, chargers, vehicles)
    manifest = Manifest(seed, "digest", 8010, "token-a")
    for slug in ("namma-logistics", "deccan-cabs"):
        manifest.fleets[slug] = FleetKeys(f"telemetry-{slug}", f"integrator-{slug}")
    for hub in drawn.hubs:
        for plan in hub.chargers:
            plugs = [PlugFacts(p.number, p.plug, p.max_power_w, f"FCC-{plan.identity}-{p.number}") for p in plan.plugs]
            where = (hub.name, hub.latitude, hub.longitude)
            facts = (plan.identity, "00" * 16, plan.protocol, plan.model)
            manifest.chargers.append(ChargerFacts(*facts, *where, plugs, list(plan.quirks)))
    for number, plan in enumerate(drawn.vehicles, start=1):
        manifest.vehicles.append(
            VehicleFacts(
                number, "namma-logistics", plan.registration, plan.device_id, plan.token_uid, "LCV", ["ccs2"], 20_000,
                3_300, 15_000, [], 150, number,
            )
        )  # fmt: skip
    return manifest


def city_of(seed: int = 7, speed: float = 8, **counts: int) -> City:
    return City(manifest_of(seed, **counts), NOW, seed=seed, speed=speed, roads=ROADS)


def live(city: City, seconds: float, *, start: datetime = NOW, system: "System | None" = None) -> datetime:
    """Let the city live in half-second steps, answered by `system` when there is one."""
    now = start
    for _ in range(int(seconds * 2)):
        now += timedelta(seconds=0.5)
        city.step(0.5, now)
        for charger in city.chargers.values():
            if system:
                system.answer_all(charger, now)
    return now


class System:
    """Answers every call as FleetCharge would; remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        self.transactions = 100
        self.token_status = "Accepted"

    def answer_all(self, charger: SimCharger, now: datetime) -> None:
        if not charger.is_connected:
            charger.connected(now)
        while call := charger.next_call():
            self.heard.append((charger.identity, call.action, call.payload))
            charger.on_result(call.id, self.answer(call.action, call.payload), now)

    def answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if action == "BootNotification":
            return {"status": "Accepted", "interval": 300, "currentTime": "2026-11-21T06:30:00Z"}
        if action == "StartTransaction":
            self.transactions += 1
            return {"transactionId": self.transactions, "idTagInfo": {"status": self.token_status}}
        if action in ("Authorize", "TransactionEvent"):
            return {"idTagInfo": {"status": self.token_status}, "idTokenInfo": {"status": self.token_status}}
        return {}

    def payloads(self, action: str) -> list[dict[str, Any]]:
        return [payload for _, heard, payload in self.heard if heard == action]
