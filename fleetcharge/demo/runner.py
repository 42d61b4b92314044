"""Runs the city: the clock, sixty sockets, trackers, driver apps and VoltGrid, in one event loop."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from billing.gateways import choice
from fleetcharge.demo.city import City
from fleetcharge.demo.connection import ChargerConnection
from fleetcharge.demo.control import Control, mount
from fleetcharge.demo.cpo import FILE_NAME as VOLTGRID_FILE
from fleetcharge.demo.cpo import Cpo, Peering
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.memory import FILE_NAME as STATE_FILE
from fleetcharge.demo.memory import recall, remember
from fleetcharge.demo.orders import DriverApps
from fleetcharge.demo.others import VOLTGRID, Peers
from fleetcharge.demo.partners import Partner
from fleetcharge.demo.payments import Gateway
from fleetcharge.demo.records import records_of
from fleetcharge.demo.telemetry import Trackers

TICK_SECONDS, LONGEST_TICK_SECONDS = 0.5, 2.0
REMEMBER_SECONDS, REPORT_SECONDS = 15.0, 300.0
CONNECT_WITHIN_SECONDS = 4.0

logger = logging.getLogger("fleetcharge.demo")


@dataclass(frozen=True)
class Addresses:
    """Public doors of the system, and our own port."""

    realtime_url: str
    api_url: str
    demo_port: int


class Runner:
    def __init__(self, manifest: Manifest, addresses: Addresses, *, var: Path, seed: int, speed: float) -> None:
        self.manifest, self.addresses, self.var = manifest, addresses, var
        self.city = City(manifest, datetime.now(UTC), seed=seed, speed=speed)
        if recall(self.city, var / STATE_FILE, datetime.now(UTC), manifest.digest):
            logger.info("the city goes on where it stopped")
        self.connections = [
            ChargerConnection(charger, addresses.realtime_url) for charger in self.city.chargers.values()
        ]
        self.stopping, self.is_cut_off = asyncio.Event(), True

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stopping.set)
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
        async with httpx.AsyncClient(timeout=15, limits=limits, trust_env=False) as http:
            trackers = Trackers(self.city, self.manifest, http, self.addresses.realtime_url)
            base = f"http://127.0.0.1:{self.addresses.demo_port}"
            path = self.var / VOLTGRID_FILE
            cpo = Cpo(self.city.network, base, path, Peering.load(path, self.manifest.token_a), http)
            cpo.stale.update(self.city.network.bays)
            cpo.partner = Partner(self.city.cityplug)
            cpo.records = records_of(self.manifest, self.city.network, self.var, datetime.now(UTC))
            apps = DriverApps(self.city, self.manifest, http, self.addresses.api_url)
            counters = _counters_of(trackers)
            peers = Peers(self.city, self.manifest, base, self.var, cpo, self.addresses.realtime_url)
            control = Control(self.city, counters, self._wake, peers.doors)
            server = _server(mount(control, peers.doors[VOLTGRID], peers.doors), self.addresses.demo_port)
            jobs = [
                server.serve(),
                self._tick(),
                trackers.run(),
                apps.run(),
                cpo.push_forever(),
                peers.push_forever(http),
                self._report(trackers),
            ]
            if choice.is_emulated():
                jobs.append(Gateway(self.var, self.addresses.realtime_url).run())
            jobs += [
                connection.run(CONNECT_WITHIN_SECONDS * index / len(self.connections))
                for index, connection in enumerate(self.connections)
            ]
            await self._supervise([asyncio.ensure_future(job) for job in jobs], server)

    async def _supervise(self, tasks: "list[asyncio.Future[Any]]", server: uvicorn.Server) -> None:
        """A job that ends is a defect: the process ends with it and is started again."""
        stop = asyncio.ensure_future(self.stopping.wait())
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        remember(self.city, self.var / STATE_FILE, datetime.now(UTC), self.manifest.digest)
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        for task in done - {stop}:
            if error := task.exception():
                raise error

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        last = remembered = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            self.city.step(min(now - last, LONGEST_TICK_SECONDS), datetime.now(UTC))
            last = now
            self._wake()
            self._note_outages()
            if now - remembered > REMEMBER_SECONDS:
                remembered = now
                remember(self.city, self.var / STATE_FILE, datetime.now(UTC), self.manifest.digest)

    def _note_outages(self) -> None:
        """One line when the chargers lose the system, one when they have it back."""
        connected = sum(connection.charger.is_connected for connection in self.connections)
        is_cut_off = connected < len(self.connections) / (2 if not self.is_cut_off else 1)
        if is_cut_off != self.is_cut_off:
            self.is_cut_off = is_cut_off
            logger.info("%d of %d chargers are connected", connected, len(self.connections))

    def _wake(self) -> None:
        for connection in self.connections:
            if connection.charger.outbox:
                connection.wake()

    async def _report(self, trackers: Trackers) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            chargers = self.city.chargers.values()
            logger.info(
                "%d of %d chargers connected, %d calls answered, %d waiting; %d positions taken; %d sessions run",
                sum(charger.is_connected for charger in chargers),
                len(chargers),
                sum(charger.answered for charger in chargers),
                sum(len(charger.outbox) for charger in chargers),
                trackers.accepted,
                sum(1 for bay in self.city.own_bays if bay.visit and bay.visit.is_running),
            )


def _counters_of(trackers: Trackers) -> Any:
    return lambda: {
        "pings": {
            "accepted": trackers.accepted,
            "duplicate": trackers.duplicate,
            "rejected": trackers.rejected,
            "waiting": sum(len(queue) for queue in trackers.waiting.values()),
        }
    }


def _server(application: Any, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    return server
