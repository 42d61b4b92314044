"""Make street tiles of an OpenStreetMap extract: `manage.py build_basemap bengaluru.osm.pbf`."""

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.engines.fitted import MISSING


class Command(BaseCommand):
    help = "Make street tiles of an OpenStreetMap extract (.osm.pbf); the maps show them from the next page load on."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="of your city or region, without one with --remove")
        parser.add_argument("--remove", action="store_true", help="forget the tiles: back to the bundled ground")

    def handle(self, *args: Any, file: Path | None, remove: bool, **options: Any) -> None:
        if (file is None) != remove:
            raise CommandError("Name an extract to read, or --remove.")
        if file is None:
            settings.BASEMAP_FILE.unlink(missing_ok=True)
            self.stdout.write("The street tiles are removed; the maps draw their own ground.")
            return
        try:
            from dispatch.basemap import building, extract
        except ImportError as error:
            raise CommandError(f"{MISSING} ({error})") from error
        began = time.monotonic()
        try:
            count = building.build(file, settings.BASEMAP_FILE)
        except extract.NoBasemap as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{count:,} tiles, {settings.BASEMAP_FILE.stat().st_size / 1e6:.1f} MB in "
            f"{time.monotonic() - began:.1f} s: {settings.BASEMAP_FILE}\n"
            "Map data from OpenStreetMap, openstreetmap.org/copyright (ODbL)."
        )
