"""`manage.py ais140`: take AIS-140 trackers over TCP until told to stop."""

import asyncio
import ipaddress
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from vehicles import intake
from vehicles.ais140.server import Server


class Command(BaseCommand):
    help = "Takes AIS-140 trackers over TCP; believes IMEIs from FLEETCHARGE_TRACKER_NETWORKS only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=5140)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            networks = [ipaddress.ip_network(text) for text in settings.TRACKER_NETWORKS]
        except ValueError as error:
            raise CommandError(f"FLEETCHARGE_TRACKER_NETWORKS: {error}") from error
        asyncio.run(self._serve(Server(networks), options["host"], options["port"]))

    async def _serve(self, server: Server, host: str, port: int) -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        port = await server.start(host, port)
        self.stdout.write(f"AIS-140 trackers are taken on {host}:{port}")
        self.stdout.flush()
        await stopping.wait()
        await server.close()
        await intake.close()
        self.stdout.write(f"took {dict(server.counts)}")
