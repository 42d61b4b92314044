"""`manage.py seed_demo`: fleets, people, chargers and tokens of the demo city."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from fleetcharge.demo.people import seed_people
from fleetcharge.demo.seeding import seed_demo


class Command(BaseCommand):
    help = "Fill the database with the demo city; idempotent, a second run takes well under a second."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--chargers", type=int, default=60)
        parser.add_argument("--vehicles", type=int, default=80)
        parser.add_argument("--demo-port", type=int, default=int(os.environ.get("FLEETCHARGE_DEMO_PORT", "8010")))

    def handle(self, *args: Any, **options: Any) -> None:
        var = Path(settings.VAR_DIR)
        manifest = seed_demo(
            seed=options["seed"],
            chargers=options["chargers"],
            vehicles=options["vehicles"],
            demo_port=options["demo_port"],
            var=var,
            now=timezone.now(),
        )
        if options["verbosity"] < 1:
            return
        self.stdout.write(f"{len(manifest.chargers)} chargers and {len(manifest.vehicles)} vehicles are ready.")
        for person in seed_people(var):
            self.stdout.write(f"  {person['email']:<28} {person['password']:<28} {person['role']:<11} {person['what']}")
