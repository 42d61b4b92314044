"""From a ping to the plan on the dispatcher's socket, and from broken plugs to new plans, through the whole system.

    python -m bench.reroute [--connectors 5000] [--vehicles 120] [--broken 50] [--rounds 3] [--automatic]

Runs `fleetcharge.embedded.run` as a user would (realtime, worker and web process, PostgreSQL with fsync on) in a
temporary folder. A vehicle's ping takes it below 20 %; the time runs from the first byte of its HTTP request until its
alert with a plan arrives at a browser's WebSocket. Floor: a ping that changes only a position, until that arrives.
Then plugs that plans lead to break all at once: each belongs to a charger of its own, which says so on its own OCPP
socket. The time runs from the first byte of the first StatusNotification until each vehicle's next plan is on the
browser's socket. `--automatic`: plans are accepted by themselves, so places are given up and others reserved; then a
plan counts when it has its place.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOAL_PLAN_MS, GOAL_BROKEN_MS = 150.0, 1_000.0
PACE_SECONDS = 0.15  # between two vehicles: each is measured alone
PATIENCE_SECONDS = 30
PAUSE_SECONDS = 2.0  # between rounds: what follows from one is done before the next
ENOUGH_PERCENT = 21  # nobody is foreseen to run low: there are no stops to reach
State = dict[int, float]


class System:
    """The product in processes of its own."""

    def __init__(self, var: Path) -> None:
        from fleetcharge.embedded.ports import random_free_port

        self.web, self.realtime = random_free_port(), random_free_port()
        self.console = var / "run.txt"
        env = os.environ | {
            "FLEETCHARGE_DEMO": "0", "FLEETCHARGE_WEB_PORT": str(self.web), "FLEETCHARGE_API_RATE": "1000000/min",
            "FLEETCHARGE_REALTIME_PORT": str(self.realtime),
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fleetcharge.embedded.run"], cwd=ROOT, env=env, stdout=self.console.open("w"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait(self) -> None:
        deadline = time.monotonic() + 300
        while "is ready after" not in self.console.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the system did not start: {self.console.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()


Place = tuple[int, float, float]  # vehicle, latitude, longitude


def fill(connectors: int, vehicles: int, *, is_automatic: bool) -> tuple[list[Place], str, str]:
    """The city of bench.dispatch, all have enough; (where vehicles are, API key, a dispatcher's session key)."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import connection
    from django.db.models import CharField, F, Value
    from django.db.models.functions import Cast, Concat

    from bench.dispatch import fill as city
    from fleetcharge.accounts import services as accounts
    from fleetcharge.accounts.models import Membership, Organisation, Scope, User
    from stations.models import Connector
    from vehicles.models import Stop, Vehicle, VehicleState

    city(connectors, vehicles)
    Connector.objects.update(reported_status=F("status"))
    Stop.objects.all().delete()
    VehicleState.objects.update(soc_percent=ENOUGH_PERCENT, is_soc_low=False)
    Vehicle.objects.update(device_id=Concat(Value("van-"), Cast(F("pk"), CharField())))
    fleet = Organisation.objects.get(slug="bench")
    if is_automatic:
        Organisation.objects.update(dispatch_mode=Organisation.DispatchMode.AUTOMATIC)
    user = User.objects.create(email="asha@bench.example", password="!")
    Membership.objects.create(user=user, organisation=fleet, role="dispatcher")
    session = SessionStore()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.create()
    _, key = accounts.create_api_key(organisation=fleet, name="bench", scopes=list(Scope.values))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    states = VehicleState.objects.order_by("pk")
    places = [(row.vehicle_id, row.latitude or 0.0, row.longitude or 0.0) for row in states]
    return places, key, str(session.session_key)


class Browser:
    """One page's socket: when each vehicle's newest plan and position came."""

    def __init__(self, *, is_automatic: bool) -> None:
        self.counting = ("accepted", "reserved") if is_automatic else ("proposed",)
        self.plans: dict[int, tuple[int, float]] = {}  # by vehicle: plan, when it came
        self.moves: dict[int, float] = {}  # by latitude in millionths
        self.ready = asyncio.Event()

    async def run(self, port: int, session: str) -> None:
        import websockets

        url, headers = f"ws://127.0.0.1:{port}/ws/live/", {"Cookie": f"sessionid={session}"}
        origin: Any = f"http://127.0.0.1:{port}"
        async with websockets.connect(
            url, additional_headers=headers, origin=origin, compression=None, max_size=None
        ) as socket:
            await socket.send(json.dumps({"type": "hello", "v": 1, "last_alert": 0}))
            await socket.send(json.dumps({"type": "view", "bbox": None, "z": 5, "layers": ["vehicles"]}))
            async for frame in socket:
                if isinstance(frame, bytes):
                    await socket.send(json.dumps({"type": "ack", "seq": self._drawn(frame)}))
                else:
                    self._told(json.loads(frame))

    def _told(self, message: dict[str, Any]) -> None:
        self.ready.set()
        plan = message.get("plan") if message["type"] == "alert" else None
        if not plan or not plan["connector"] or plan["state"] not in self.counting:
            return
        if self.plans.get(message["vehicle_id"], (0, 0.0))[0] < plan["id"]:
            self.plans[message["vehicle_id"]] = plan["id"], time.perf_counter()

    def _drawn(self, frame: bytes) -> int:
        import struct

        from dispatch import wire

        _, _, kind, _, seq, _, count = wire.HEADER.unpack_from(frame)
        if kind == 2:
            now = time.perf_counter()
            for record in range(count):
                self.moves.setdefault(struct.unpack_from("<i", frame, 20 + 16 * record)[0], now)
        return int(seq)


async def until(look: Callable[[], Any]) -> Any:
    """What `look` says at last; None when it has no answer for long."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while time.perf_counter() < deadline:
        if answer := look():
            return answer
        await asyncio.sleep(0.002)
    return None


class Fleet:
    """Vehicles that ping over HTTP, one keep-alive connection."""

    def __init__(self, system: System, key: str, browser: Browser) -> None:
        import httpx

        self.browser = browser
        base = f"http://127.0.0.1:{system.realtime}"
        self._client = httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    async def ping(self, place: Place, soc: float) -> float:
        """When it was begun."""
        vehicle_id, latitude, longitude = place
        ping = {"ts": time.time(), "lat": latitude, "lon": longitude, "soc": soc, "speed_kmh": 20}
        began = time.perf_counter()
        answer = await self._client.post("/ingest/v1/pings", json={"device": f"van-{vehicle_id}", "pings": [ping]})
        assert answer.json()["accepted"] == 1, answer.text
        return began

    async def moved(self, place: Place) -> float | None:
        """Milliseconds until it is on the socket, some metres further north."""
        vehicle_id, latitude, longitude = place
        there = round(latitude + 2e-4, 6)
        began = await self.ping((vehicle_id, there, longitude), ENOUGH_PERCENT)
        came = await until(lambda: self.browser.moves.get(round(there * 1e6)))
        return None if came is None else (came - began) * 1000

    async def planned(self, place: Place) -> float | None:
        """Milliseconds until its plan was on the socket."""
        before, _ = self.browser.plans.get(place[0], (0, 0.0))
        if before:
            raise SystemExit(f"vehicle {place[0]} had a plan before it was low: this would measure nothing")
        began = await self.ping(place, 19)
        came = await until(lambda: self.browser.plans.get(place[0]))
        return None if came is None else (came[1] - began) * 1000


async def one_by_one(work: Callable[[Place], Any], places: list[Place]) -> list[float | None]:
    taken = []
    for place in places:
        await asyncio.sleep(PACE_SECONDS * random.uniform(0.8, 1.2))  # no beat with the frames
        taken.append(await work(place))
    return taken


def sent_to(count: int) -> dict[int, tuple[int, int]]:
    """Vehicles on their way to a plug that works: the plan and the plug."""
    from dispatch.models import ChargePlan

    under_way = ChargePlan.objects.filter(state__in=("proposed", "accepted", "reserved"), connector__isnull=False)
    plans = under_way.order_by("pk").values_list("vehicle_id", "pk", "connector_id")[:count]
    return {vehicle_id: (plan_id, int(connector_id or 0)) for vehicle_id, plan_id, connector_id in plans}


def give_chargers(connector_ids: list[int], first: int) -> dict[int, str]:
    """A charger for each of these plugs, numbered from `first`; what each says of its plug, by its number."""
    from bench.ocpp.stations import KEY
    from fleetcharge.accounts.models import Organisation
    from fleetcharge.lib import crypto
    from stations.models import EVSE, Charger, Connector

    fleet, secret = Organisation.objects.get(slug="bench"), crypto.keyed_hash(KEY, purpose=Charger.KEY_PURPOSE)
    plugs = Connector.objects.filter(pk__in=connector_ids).select_related("evse").order_by("pk")
    says = {}
    for number, plug in enumerate(plugs, first):
        charger = Charger.objects.create(
            organisation=fleet, location_id=plug.evse.location_id, ocpp_identity=f"BENCH-{number}", auth_key_hash=secret
        )
        EVSE.objects.filter(pk=plug.evse_id).update(charger=charger, evse_number=1)
        says[number] = plug.reported_status.capitalize()
    plugs.update(connector_id=1)
    return says


class Chargers:
    """Their sockets. Each boots and says how its plug is; then all break."""

    def __init__(self, says: dict[int, str]) -> None:
        self._says = says
        self._answered: set[tuple[int, bytes]] = set()
        self.sockets: list[Any] = []

    async def come(self, port: int) -> None:
        from bench.ocpp.stations import connect

        self.sockets = await connect(port, range(min(self._says), max(self._says) + 1), self._heard)
        for socket in self.sockets:
            socket.send(b'[2,"boot","BootNotification",{"chargePointVendor":"Bench","chargePointModel":"One"}]')
        await self._until_answered(b"boot")
        for socket in self.sockets:
            socket.send(status_of("is", self._says[socket.number], "NoError"))
        await self._until_answered(b"is")

    async def break_all(self) -> tuple[float, float]:
        """When the first one began to say so, and the milliseconds until the last one had its answer."""
        began = time.perf_counter()
        for socket in self.sockets:
            socket.send(status_of("broken", "Faulted", "GroundFailure"))
        await self._until_answered(b"broken")
        return began, (time.perf_counter() - began) * 1000

    def _heard(self, socket: Any, payload: bytes) -> None:
        if payload.startswith(b"[3,"):
            self._answered.add((socket.number, payload[4:].partition(b'"')[0]))

    async def _until_answered(self, name: bytes) -> None:
        wanted = {(socket.number, name) for socket in self.sockets}
        if not await until(lambda: wanted <= self._answered):
            raise SystemExit(f"not every charger was answered: {name.decode()}")


def status_of(name: str, status: str, error: str) -> bytes:
    said = {"connectorId": 1, "errorCode": error, "status": status}
    return json.dumps([2, name, "StatusNotification", said]).encode()


async def broken(system: System, browser: Browser, count: int, first: int) -> list[float | None]:
    """Milliseconds from the first of the reports until each vehicle's next plan was on the socket."""
    plugs = {plug for _, plug in (await asyncio.to_thread(sent_to, count)).values()}
    chargers = Chargers(await asyncio.to_thread(give_chargers, sorted(plugs), first))
    await chargers.come(system.realtime)
    going = await asyncio.to_thread(sent_to, count)
    before = {vehicle: plan for vehicle, (plan, plug) in going.items() if plug in plugs}
    if len(before) < count:
        raise SystemExit(f"only {len(before)} vehicles are on their way to these chargers")
    began, told_ms = await chargers.break_all()

    def newest(vehicle: int) -> tuple[int, float]:
        return browser.plans.get(vehicle, (0, 0.0))

    await until(lambda: all(newest(vehicle)[0] > plan for vehicle, plan in before.items()))
    print(f"  {len(chargers.sockets)} chargers said that they are broken, and were answered within {told_ms:.0f} ms")
    tell_missing(vehicle for vehicle, plan in before.items() if newest(vehicle)[0] <= plan)
    came = [newest(vehicle) for vehicle in before]
    return [(at - began) * 1000 if plan > was else None for (plan, at), was in zip(came, before.values(), strict=True)]


def tell_missing(vehicles: Iterable[int]) -> None:
    if missing := sorted(vehicles):
        print(f"  no plan came in {PATIENCE_SECONDS} s for vehicles {', '.join(map(str, missing))}")


async def broken_in_rounds(system: System, browser: Browser, options: argparse.Namespace) -> list[float | None]:
    taken: list[float | None] = []
    for number in range(options.rounds):
        taken += await broken(system, browser, options.broken, 1 + number * options.broken)
        last = max((one for one in taken[-options.broken :] if one is not None), default=0.0)
        print(f"  round {number + 1}: the last of their plans after {last:.0f} ms")
        await asyncio.sleep(PAUSE_SECONDS)
    return taken


async def measure(system: System, options: argparse.Namespace, places: list[Place], key: str, session: str) -> bool:
    browser = Browser(is_automatic=options.automatic)
    page = asyncio.create_task(browser.run(system.realtime, session))
    await asyncio.wait_for(browser.ready.wait(), 30)
    fleet = Fleet(system, key, browser)
    await one_by_one(fleet.planned, places[:10])  # caches, connections, prepared statements
    floor = await one_by_one(fleet.moved, places[10:])
    plans = await one_by_one(fleet.planned, places[10:])
    tell_missing(place[0] for place, taken in zip(places[10:], plans, strict=True) if taken is None)
    least, _ = shown("ping to position on the socket (floor)", floor, None)
    median, is_quick = shown("ping to plan on the socket", plans, GOAL_PLAN_MS)
    if median is not None and least:
        print(f"  ratio {median / least:.1f}")
    plans = await broken_in_rounds(system, browser, options)
    _, is_mended = shown("broken plug to the next plan", plans, GOAL_BROKEN_MS)
    page.cancel()
    return is_quick and is_mended


def shown(what: str, taken: list[float | None], goal_ms: float | None) -> tuple[float | None, bool]:
    """Print percentiles; the median, and whether all came and p95 kept the goal."""
    came = sorted(one for one in taken if one is not None)
    if not came:
        print(f"  {what:<40} never came, of {len(taken)}")
        return None, False
    median, p95 = came[len(came) // 2], came[int(len(came) * 0.95)]
    is_kept = len(came) == len(taken) and (goal_ms is None or p95 <= goal_ms)
    goal = "" if goal_ms is None else f"   goal: p95 <= {goal_ms:.0f} ms: {'reached' if is_kept else 'NOT reached'}"
    print(f"  {what:<40} p50 {median:6.1f} ms   p95 {p95:6.1f} ms   never {len(taken) - len(came)}{goal}")
    return median, is_kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connectors", type=int, default=5000)
    parser.add_argument("--vehicles", type=int, default=120)
    parser.add_argument("--broken", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--automatic", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 (the engines may run under another uid)
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        os.environ |= {"FLEETCHARGE_LOG_LEVEL": "ERROR"}
        for name in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
            os.environ.pop(name, None)
        system = System(Path(folder))
        try:
            system.wait()
            return _in_system(system, options)
        finally:
            system.stop()


def _in_system(system: System, options: argparse.Namespace) -> int:
    import django

    django.setup()
    from fleetcharge.embedded import release_engines

    try:
        places, key, session = fill(options.connectors, options.vehicles + 10, is_automatic=options.automatic)
        print(f"{options.connectors} connectors, {options.vehicles} vehicles one after the other")
        return int(not asyncio.run(measure(system, options, places, key, session)))
    finally:
        release_engines()


if __name__ == "__main__":
    raise SystemExit(main())
