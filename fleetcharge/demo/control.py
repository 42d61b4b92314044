"""A small door on loopback for tests and demonstrations: cause a fault, drain a battery, see the ground truth."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from fleetcharge.demo import quirks
from fleetcharge.demo.bays import PLUGGED, Bay
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.city import City
from fleetcharge.demo.vehicle import SimVehicle
from fleetcharge.lib.asgi import Receive, Scope, Send, read_body, send_error, send_json

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class NotHere(Exception):
    """There is no such charger, vehicle or action."""


class Control:
    """`POST /control/<action>` with JSON, `GET /control/state`."""

    def __init__(
        self, city: City, counters: Callable[[], dict[str, Any]], wake: Callable[[], None],
        peers: "Mapping[str, Peer] | None" = None,
    ) -> None:  # fmt: skip
        self.city, self._counters, self._wake, self._peers = city, counters, wake, peers or {}
        self._actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "fault": self._fault,
            "clear": self._clear,
            "drain": self._drain,
            "leave": self._leave,
            "misuse": self._misuse,
            "quirks": self._quirks,
            "power": self._power,
            "network": self._network,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix("/control/").strip("/")
        try:
            raw = await read_body(receive, 64 * 1024)
            if name == "state" and scope["method"] == "GET":
                return await send_json(send, 200, self.state())
            if scope["method"] != "POST" or name not in self._actions:
                raise NotHere(f"There is no {scope['method']} {scope['path']}.")
            answer = self._actions[name](orjson.loads(raw or b"{}"))
            self._wake()
            return await send_json(send, 200, answer)
        except NotHere as error:
            return await send_error(send, 404, "not_found", str(error))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            return await send_error(send, 400, "invalid", f"{type(error).__name__}: {error}")

    def state(self) -> dict[str, Any]:
        """Ground truth: what the simulated world knows, whatever the system has heard of it."""
        return {
            "age_seconds": round(self.city.age_seconds, 1),
            "speed": self.city.speed,
            "sessions": self.city.sessions(),
            "networks": {name: peer.is_running for name, peer in self._peers.items()},
            "vehicles": [_vehicle(vehicle) for vehicle in self.city.vehicles.values()],
            "bays": [_bay(bay) for bay in self.city.own_bays],
            "chargers": [_charger(charger) for charger in self.city.chargers.values()],
            "chargers_connected": sum(charger.is_connected for charger in self.city.chargers.values()),
            "calls_waiting": sum(
                len(charger.outbox) + (charger.in_flight is not None) for charger in self.city.chargers.values()
            ),
            "calls_answered": sum(charger.answered for charger in self.city.chargers.values()),
            "calls_dropped": sum(charger.dropped for charger in self.city.chargers.values()),
            "events": [list(event) for event in list(self.city.events)[-50:]],
            **self._counters(),
        }

    def _find_bay(self, body: dict[str, Any]) -> Bay:
        """`{"charger": "BLR-001", "connector": 1}`, or an EVSE uid of VoltGrid as the charger."""
        charger = str(body["charger"])
        bay = self.city.find_bay(f"{charger}/{int(body.get('connector', 1))}") or self.city.find_bay(charger)
        if bay is None:
            raise NotHere(f"There is no bay {charger}.")
        return bay

    def _find_vehicle(self, body: dict[str, Any]) -> SimVehicle:
        wanted = str(body["registration"]).replace(" ", "").upper()
        for registration, vehicle in self.city.vehicles.items():
            if registration.replace(" ", "") == wanted:
                return vehicle
        raise NotHere(f"There is no vehicle {body['registration']}.")

    def _fault(self, body: dict[str, Any]) -> dict[str, Any]:
        """Stays until it is cleared."""
        bay = self._find_bay(body)
        self.city.fault(bay, datetime.now(UTC), str(body.get("code", "GroundFailure")))
        return _bay(bay)

    def _clear(self, body: dict[str, Any]) -> dict[str, Any]:
        bay = self._find_bay(body)
        bay.fault = ""
        return _bay(bay)

    def _drain(self, body: dict[str, Any]) -> dict[str, Any]:
        """A sudden jump is doubted at first: the system believes it with the third ping."""
        vehicle = self._find_vehicle(body)
        vehicle.pack.soc_percent = min(100.0, max(2.0, float(body["soc_percent"])))
        if vehicle.habit_percent:
            vehicle.habit_percent = 0.0  # from now on it waits for a plan
        return _vehicle(vehicle)

    def _leave(self, body: dict[str, Any]) -> dict[str, Any]:
        """The driver unplugs now; the session ends with what the meter says."""
        vehicle = self._find_vehicle(body)
        self.city.unplug(vehicle, datetime.now(UTC))
        return _vehicle(vehicle)

    def _find_charger(self, body: dict[str, Any]) -> SimCharger:
        if charger := self.city.chargers.get(str(body["charger"])):
            return charger
        raise NotHere(f"There is no charger {body['charger']}.")

    def _quirks(self, body: dict[str, Any]) -> dict[str, Any]:
        """From now on it is odd in these ways and no others; `[]` makes it behave."""
        charger = self._find_charger(body)
        charger.quirks = quirks.parse(body["quirks"])
        return {"charger": charger.identity, "quirks": sorted(charger.quirks)}

    def _power(self, body: dict[str, Any]) -> dict[str, Any]:
        """The power fails for some seconds: sessions end, the line breaks, it boots afterwards."""
        charger, seconds = self._find_charger(body), float(body.get("seconds", 10))
        charger.restart(datetime.now(UTC), seconds, "PowerLoss")
        return {"charger": charger.identity, "restart_at": charger.restart_at and charger.restart_at.isoformat()}

    def _network(self, body: dict[str, Any]) -> dict[str, Any]:
        """`{"network": "voltgrid", "is_running": false}`: its computers stop, though cars still come and go."""
        peer = self._peers.get(str(body["network"]))
        if peer is None:
            raise NotHere(f"There is no network {body['network']}.")
        peer.is_running = body["is_running"] is True
        return {"network": body["network"], "is_running": peer.is_running}

    def _misuse(self, body: dict[str, Any]) -> dict[str, Any]:
        bay = self.city.misuse(datetime.now(UTC))
        return {"charger": bay.key if bay else None}


def _vehicle(vehicle: SimVehicle) -> dict[str, Any]:
    return {
        "registration": vehicle.registration,
        "device_id": vehicle.facts.device_id,
        "state": vehicle.state,
        "soc_percent": round(vehicle.pack.soc_percent, 2),
        "latitude": round(vehicle.place[0], 6),
        "longitude": round(vehicle.place[1], 6),
        "bay": vehicle.bay.key if vehicle.bay else None,
        "plan": vehicle.plan_id,
        "waits_for_start": bool(
            vehicle.bay
            and vehicle.bay.visit
            and vehicle.bay.visit.waits_for_start
            and vehicle.bay.visit.state == PLUGGED
            and vehicle.bay.visit.vehicle == vehicle.registration
        ),
    }


def _charger(charger: SimCharger) -> dict[str, Any]:
    return {
        "identity": charger.identity,
        "protocol": charger.dialect.subprotocol,
        "quirks": sorted(charger.quirks),
        "is_connected": charger.is_connected,
        "firmware_version": charger.firmware_version,
        "profiles": len(charger.profiles),
        "list_version": charger.list_version,
    }


def _bay(bay: Bay) -> dict[str, Any]:
    return {
        "key": bay.key,
        "site": bay.site,
        "status": bay.status,
        "meter_wh": int(bay.meter_wh),
        "reservation": bay.booking.number if bay.booking else None,
        "vehicle": bay.visit.vehicle if bay.visit else None,
    }


class Peer:
    """A network's computers, which can be stopped: then every call is answered as a dead host's proxy would."""

    def __init__(self, application: Application) -> None:
        self.application, self.is_running = application, True

    def answers(self) -> bool:
        return self.is_running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_running:
            await self.application(scope, receive, send)
        else:
            await send_error(send, 503, "away", "Nobody is here.")


def mount(control: Control, cpo: Application, peers: Mapping[str, Peer] | None = None) -> Application:
    """One ASGI application: the control door, VoltGrid, and each other network below its name."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        name, _, rest = scope["path"].lstrip("/").partition("/")
        if name == "control":
            await control(scope, receive, send)
        elif peers and name in peers:
            await peers[name]({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)
        else:
            await cpo(scope, receive, send)

    return application
