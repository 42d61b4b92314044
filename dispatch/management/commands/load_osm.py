"""Read an OpenStreetMap extract, so that plans go by road: `manage.py load_osm karnataka.osm.pbf`."""

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.engines.fitted import MISSING


class Command(BaseCommand):
    help = "Read the roads of an OpenStreetMap extract (.osm.pbf); plans measure along them from then on."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="of your region, without one with --remove")
        parser.add_argument("--remove", action="store_true", help="forget the map: back to distances by the crow")

    def handle(self, *args: Any, file: Path | None, remove: bool, **options: Any) -> None:
        if (file is None) != remove:
            raise CommandError("Name an extract to read, or --remove.")
        try:
            from dispatch.engines import maps, osm
        except ImportError as error:
            raise CommandError(f"{MISSING} ({error})") from error
        if file is None:
            maps.forget(settings.ROADS_DIR)
            self.stdout.write("The road map is removed; plans go by the crow, or by a routing server.")
            return
        began = time.monotonic()
        try:
            made = maps.make(file, settings.ROADS_DIR)
        except osm.NoRoads as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{len(made.graph.latitude):,} places, {len(made.graph.tail):,} pieces of road in "
            f"{time.monotonic() - began:.1f} s: plans go by cch {made.version}.\n"
            "Map data from OpenStreetMap, openstreetmap.org/copyright (ODbL)."
        )
