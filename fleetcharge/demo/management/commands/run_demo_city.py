"""`manage.py run_demo_city`: chargers, vehicles and a public network that live by themselves."""

import asyncio
import logging
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.runner import Addresses, Runner


class Command(BaseCommand):
    help = "Run the simulated city against the public doors of a running FleetCharge; needs seed_demo once."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        realtime = settings.REALTIME_PORT or settings.WEB_PORT
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--speed", type=float, default=float(os.environ.get("FLEETCHARGE_DEMO_SPEED", "8")))
        parser.add_argument("--chargers", type=int, default=60, help="at most as many as were seeded")
        parser.add_argument(
            "--vehicles", type=int, default=80, help="of the main fleet, at most as many as were seeded"
        )
        parser.add_argument("--realtime-url", default=f"http://127.0.0.1:{realtime}")
        parser.add_argument("--api-url", default=f"http://127.0.0.1:{settings.WEB_PORT}")

    def handle(self, *args: Any, **options: Any) -> None:
        var = Path(settings.VAR_DIR)
        manifest = Manifest.load(var)
        if manifest is None:
            raise CommandError("There is no demo city yet; run `manage.py seed_demo` first.")
        manifest.chargers = manifest.chargers[: options["chargers"]]
        own = [vehicle for vehicle in manifest.vehicles if vehicle.fleet == "namma-logistics"]
        others = [vehicle for vehicle in manifest.vehicles if vehicle.fleet != "namma-logistics"]
        manifest.vehicles = [*own[: options["vehicles"]], *others]
        logging.getLogger("fleetcharge.demo").setLevel(logging.INFO)
        addresses = Addresses(options["realtime_url"], options["api_url"], manifest.demo_port)
        asyncio.run(self._run(manifest, addresses, var, options["seed"], options["speed"]))

    async def _run(self, manifest: Manifest, addresses: Addresses, var: Path, seed: int, speed: float) -> None:
        await Runner(manifest, addresses, var=var, seed=seed, speed=speed).run()
