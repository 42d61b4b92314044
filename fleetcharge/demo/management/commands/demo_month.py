"""`manage.py demo_month`: a month of the demo city, lived through the services and closed, with every file."""

import time
from argparse import ArgumentParser
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.gst.numbering import day_in_india
from fleetcharge.demo import past
from fleetcharge.demo.manifest import Manifest

BECAUSE = "The demo: sessions that its evidence blocks wait for finance, and stay off the invoices."


class Command(BaseCommand):
    help = "Give the demo city a whole month of charging and close it: vouchers, invoices, annexures, exports, proof."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", nargs="?", help="YYYY-MM; last month unless said")
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--chargers", type=int, default=60)
        parser.add_argument("--vehicles", type=int, default=80)
        parser.add_argument("--days", type=int, help="Only the first working days of it.")
        parser.add_argument("--output", type=Path, help="Where its files go; below the data folder unless said.")

    def handle(self, *args: Any, **options: Any) -> None:
        month = self._month(options["month"])
        city = {name: options[name] for name in ("seed", "chargers", "vehicles")}
        call_command("migrate", verbosity=0, interactive=False)  # also on a fresh machine
        call_command("seed_demo", **city, verbosity=0)
        manifest = Manifest.load(Path(settings.VAR_DIR))
        assert manifest is not None
        begun = time.monotonic()
        count = past.live(manifest, month, days=options["days"])
        self.stdout.write(f"{count} sessions of {month:%B %Y} in {time.monotonic() - begun:.0f} s")
        folder = options["output"] or Path(settings.VAR_DIR) / "months"
        call_command("close_month", f"{month:%Y-%m}", accept=BECAUSE, output=folder, stdout=self.stdout)

    def _month(self, text: str | None) -> date:
        this = day_in_india(timezone.now()).replace(day=1)
        if text is None:
            return (this - timedelta(days=1)).replace(day=1)
        try:
            month = date.fromisoformat(f"{text}-01")
        except ValueError:
            raise CommandError("A month looks like 2026-10.") from None
        if month >= this:
            raise CommandError("Only a month that is over can be closed.")
        return month
