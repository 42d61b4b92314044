"""`manage.py mqtt_pings --organisation SLUG`: take the pings at a fleet's MQTT broker until told to stop."""

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from gmqtt.mqtt.handler import MQTTConnectError

from fleetcharge.accounts.models import Organisation
from vehicles import intake
from vehicles.mqtt.listener import Listener


class Command(BaseCommand):
    help = "Takes pings from the MQTT broker at FLEETCHARGE_MQTT_URL, for one fleet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organisation", required=True, help="slug of the fleet whose broker it is")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.MQTT_URL:
            raise CommandError("FLEETCHARGE_MQTT_URL names no broker.")
        organisation = Organisation.objects.filter(slug=options["organisation"]).first()
        if organisation is None:
            raise CommandError(f"There is no fleet {options['organisation']}.")
        asyncio.run(self._listen(Listener(organisation_id=organisation.pk, slug=organisation.slug)))

    async def _listen(self, listener: Listener) -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        try:
            await listener.start(settings.MQTT_URL)
        except (MQTTConnectError, OSError) as error:
            raise CommandError(f"The broker does not take us: {error}") from error
        self.stdout.write("pings are taken from the broker")
        self.stdout.flush()
        ends = [asyncio.ensure_future(event.wait()) for event in (stopping, listener.has_failed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await listener.close()
        await intake.close()
        self.stdout.write(f"took {dict(listener.counts)}")
        if listener.failure:
            raise CommandError(listener.failure)
