"""Make the bundled ground of the maps anew: `manage.py build_ground var/ground` (docs/ui.md)."""

import gzip
import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dispatch.basemap import outline, places, sources

HEADER = "// Made by manage.py build_ground; whose data it is stands in docs/data-licences.md. Do not edit.\n"


class Command(BaseCommand):
    help = "Make static/js/india.js and places.js, the ground wherever there are no street tiles, of fetched packages."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="where the packages lie")
        parser.add_argument("--states", type=Path, help="GeoJSON of your own in place of the package's states")
        parser.add_argument("--into", type=Path, default=settings.BASE_DIR / "static" / "js")

    def handle(self, *args: Any, folder: Path, states: Path | None, into: Path, **options: Any) -> None:
        try:
            drawn = sources.own_states(states) if states else sources.states(folder)
            ground = outline.ground(drawn, sources.land(folder))
            named = places.places(sources.cities(folder))
        except sources.NoGround as error:
            raise CommandError(str(error)) from error
        for name, content in (("india", ground), ("places", named)):
            self._write(into / f"{name}.js", content)

    def _write(self, path: Path, content: Any) -> None:
        text = HEADER + "export default " + json.dumps(content, ensure_ascii=False, separators=(",", ":")) + ";\n"
        path.write_text(text)
        self.stdout.write(f"{path}: {len(text.encode()):,} bytes, {len(gzip.compress(text.encode())):,} compressed")
