"""Chargers of our own on real WebSockets, in two versions of OCPP."""

import asyncio
import random
import uuid
from datetime import UTC, datetime
from typing import Any

import uvicorn
from django.db import connections

from billing.services import meters
from dispatch.models import Reservation
from fleetcharge.demo.bays import Bay, Booking, Visit
from fleetcharge.demo.calls import Dialect
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.connection import ChargerConnection
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.dialect16 import Dialect16
from fleetcharge.lib import crypto
from ocpp_bridge import answers, consumers, oddities, threads
from ocpp_bridge.hub import hub
from ocpp_bridge.recorder import recorder
from ocpp_bridge.throttle import Throttle
from stations.models import EVSE, Charger, Connector, Location, Source
from tests.contract.adapters.line import Loop
from tests.contract.adapters.network import Network, until
from tests.prompt_server import PromptServer
from tests.running import port_of_our_own

KEY = "00112233445566778899aabbccddeeff"
TICK_SECONDS, SOMEBODY = 0.02, "SOMEBODY"


class Wire(ChargerConnection):
    """A charger's line that can keep what it is asked to itself, and answer it later."""

    is_deaf = False

    def __init__(self, charger: SimCharger, url: str) -> None:
        super().__init__(charger, url, longest_pause_seconds=0.05)
        self.asked = 0
        self.unanswered: list[Any] = []

    async def _receive(self, socket: Any, frame: str | bytes) -> None:
        is_call = frame[:2] in ("[2", b"[2")
        self.asked += is_call
        if is_call and self.is_deaf:
            self.unanswered.append(frame)
        else:
            await super()._receive(socket, frame)

    async def answer_late(self) -> None:
        self.is_deaf = False
        while self.unanswered and self._socket is not None:
            await super()._receive(self._socket, self.unanswered.pop(0))


def _is_online(plug: Connector) -> bool:
    return plug.evse.charger is not None and plug.evse.charger.is_online


class Asked:
    """Stands where the other kinds have their peer's address: counts what chargers are asked."""

    def __init__(self, wires: list[Wire]) -> None:
        self.wires = wires

    @property
    def asked(self) -> int:
        return sum(wire.asked for wire in self.wires)


class OwnChargers(Network):
    slug = "own"

    def __init__(self, dialect: type[Dialect]) -> None:
        super().__init__()
        self.dialect = dialect
        self.name = f"own-{dialect.subprotocol}"

    def connect(self) -> None:
        self.loop = Loop()
        self.stack.callback(self.loop.close)
        self._throttle, consumers.identity_throttle = consumers.identity_throttle, Throttle(10_000, 60)
        self.stack.callback(self._unpatch)
        self.port = port_of_our_own()
        self.loop.run(self._serve())
        self.stack.callback(lambda: self.loop.run(self._end()))
        source = Source.objects.create(slug=self.slug, name="Own", kind="ocpp-own", organisation=self.fleet)
        Source.objects.filter(pk=source.pk).update(state="connected")
        self.wires = [self._charger(source, number) for number in (1, 2)]
        self.line = Asked(self.wires)  # type: ignore[assignment]
        self._tasks: list[asyncio.Task[None]] = []
        self.stack.callback(self.go_silent)
        self.plugs = list(Connector.objects.order_by("pk").values_list("pk", flat=True))
        self.speak()

    def _unpatch(self) -> None:
        consumers.identity_throttle = self._throttle

    def _charger(self, source: Source, number: int) -> Wire:
        identity = f"BLR-{number:03d}"
        site = Location.objects.create(
            source=source, organisation=self.fleet, name=f"Depot {number}", latitude=12.9 + number / 100, longitude=77.6
        )
        row = Charger.objects.create(
            organisation=self.fleet, location=site, ocpp_identity=identity,
            auth_key_hash=crypto.keyed_hash(KEY, purpose=Charger.KEY_PURPOSE),
            subprotocols=[self.dialect.subprotocol],
        )  # fmt: skip
        evse = EVSE.objects.create(location=site, charger=row, evse_number=1)
        Connector.objects.create(evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000)
        bay = Bay(f"{identity}/1", 1, site.name, 0.0, 0.0, "ccs2", 60_000)
        charger = SimCharger(identity, KEY, "Contract 60", self.dialect(), [bay], random.Random(number))
        return Wire(charger, f"http://127.0.0.1:{self.port}")

    # --- our side -------------------------------------------------------------------------------------------------
    async def _serve(self) -> None:
        config = uvicorn.Config(
            consumers.ChargerConsumer.as_asgi(), port=self.port, lifespan="off", log_level="warning",
            ws="fleetcharge.lib.sockets:LeanWebSocketProtocol", ws_per_message_deflate=False, ws_ping_interval=60,
            ws_ping_timeout=60,
        )  # fmt: skip
        self.server = PromptServer(config)
        self._serving = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        self.server.leave()
        await self._serving
        await hub.close()
        await meters.close()
        await answers.database.close()
        await oddities.database.close()
        await recorder.close()
        threads.close_threads()
        connections.close_all()

    # --- the chargers ---------------------------------------------------------------------------------------------
    async def _open(self) -> None:
        self._tasks = [asyncio.create_task(wire.run()) for wire in self.wires]
        self._tasks.append(asyncio.create_task(self._live()))

    async def _close(self) -> None:
        waiting = set(self._tasks)
        while waiting:  # one that was just hanging up has to be told twice
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=0.2)
        self._tasks = []
        for wire in self.wires:
            wire.charger.disconnected()

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for wire in self.wires:
                wire.charger.bays[0].deliver(TICK_SECONDS, 20)
                wire.charger.tick(datetime.now(UTC))
                wire.wake()

    def rest(self) -> None:
        """Nothing is under way once every socket is closed (calm)."""

    def calm(self) -> None:
        self.go_silent()
        for wire in self.wires:
            charger, [bay] = wire.charger, wire.charger.bays
            charger.outbox.clear()
            charger.later.clear()
            charger.shown.clear()
            charger.in_flight = None
            charger.has_booted = False
            bay.visit = bay.booking = None
            bay.fault, wire.is_deaf = "", False
            wire.unanswered.clear()

    def settle(self) -> None:
        self.speak()

    def go_silent(self) -> None:
        self.loop.run(self._close())
        until("our side to see it", lambda: not Charger.objects.filter(is_online=True).exists() and len(hub) == 0)

    def speak(self) -> None:
        self.loop.run(self._open())

        def is_there() -> bool:
            plugs = [self.plug(number) for number in (0, 1)]
            is_told = all(wire.charger.shown and not wire.charger.outbox for wire in self.wires)
            return is_told and all(_is_online(plug) and plug.status != "unknown" for plug in plugs)

        until("the chargers to be there", is_there)

    def tell(self, status: str, at: datetime) -> None:
        charger = self.wires[0].charger
        word = {"available": "Available", "charging": "Charging", "faulted": "Faulted"}[status]
        word = "Occupied" if word == "Charging" and self.dialect is not Dialect16 else word

        async def say() -> None:
            charger.say("status", charger.dialect.status(charger.bays[0], word, at))
            self.wires[0].wake()

        answered = charger.answered
        self.loop.run(say())
        until("its report to be answered", lambda: charger.answered > answered)

    # --- promises and sessions ------------------------------------------------------------------------------------
    def answers(self, how: str) -> None:
        bay = self.wires[0].charger.bays[0]
        far = datetime.max.replace(tzinfo=UTC)
        bay.booking = Booking("1", SOMEBODY, far) if how == "no" else None
        self.wires[0].is_deaf = how == "never"
        if how == "no":
            self.shows("reserved")

    def answer_late(self) -> None:
        self.loop.run(self.wires[0].answer_late())

    def held(self) -> list[str]:
        return [
            bay.booking.number
            for wire in self.wires
            for bay in wire.charger.bays
            if bay.booking and bay.booking.token != SOMEBODY
        ]

    def reference(self, row: Reservation) -> str:
        return str(row.number)

    def car_arrives(self) -> None:
        """Its card is not known, so it stands there until somebody starts it for it."""
        charger = self.wires[0].charger
        visit = Visit(str(uuid.uuid4()), "", "NOBODYS", Pack(60_000, 20.0, 7_000, 50_000), 90.0, datetime.now(UTC))

        async def arrive() -> None:
            charger.plug_in(charger.bays[0], visit, datetime.now(UTC))
            self.wires[0].wake()

        self.loop.run(arrive())
        until("its card to be refused", lambda: visit.state == "refused")
