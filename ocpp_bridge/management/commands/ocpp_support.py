"""`manage.py ocpp_support`: the support table of docs/ocpp.md, from the code; `--write` puts it there."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ocpp_bridge import support

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ocpp.md"


class Command(BaseCommand):
    help = "Print which OCPP messages we handle, or write the table into docs/ocpp.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", action="store_true", help="write it into docs/ocpp.md")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            PAGE.write_text(support.replaced(PAGE.read_text()))
        else:
            self.stdout.write(support.markdown())
