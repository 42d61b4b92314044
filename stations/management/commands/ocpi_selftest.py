"""`manage.py ocpi_selftest URL TOKEN`: look at a CPO's OCPI before connecting to it, and print what it keeps."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stations.cpo.ocpi.selftest import OURS_TO_KEEP, Probe

MARKS = {True: "ok  ", False: "BAD ", None: "-   "}


class Command(BaseCommand):
    help = "Checks a CPO's OCPI interface, reading only. Exits with 1 when a rule is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="Its versions address.")
        parser.add_argument("token", help="The token that it takes from us.")

    def handle(self, *args: Any, **options: Any) -> None:
        broken = 0
        for finding in Probe(options["url"], options["token"]).run():
            broken += finding.is_good is False
            detail = f" ({finding.detail})" if finding.detail else ""
            pitfall = f" [pitfall {finding.pitfall}]" if finding.pitfall else ""
            self.stdout.write(f"{MARKS[finding.is_good]}{finding.rule}{detail}{pitfall}")
        self.stdout.write(f"Pitfalls {OURS_TO_KEEP} show only when it calls us; ours are proven by our tests.")
        if broken:
            raise CommandError(f"{broken} rules are broken.")
        self.stdout.write("Every rule that could be looked at is kept.")
