"""`manage.py ocpi_selftest URL TOKEN`: look at a CPO's OCPI before connecting to it, and print what it keeps."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stations.cpo.ocpi.finding import BY_EYE, WITH_WRITES
from stations.cpo.ocpi.selftest import Probe

MARKS = {True: "ok  ", False: "BAD ", None: "-   "}


class Command(BaseCommand):
    help = "Checks a CPO's OCPI interface without changing anything there. Exits with 1 when a rule is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="Its versions address.")
        parser.add_argument("token", help="The token that it takes from us.")
        parser.add_argument(
            "--try-writes", action="store_true", help="Also PATCH a token that nobody has, which it must refuse."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        broken = 0
        for finding in Probe(options["url"], options["token"], tries_writes=options["try_writes"]).run():
            broken += finding.is_good is False
            detail = f" ({finding.detail})" if finding.detail else ""
            pitfall = f" [pitfall {finding.pitfall}]" if finding.pitfall else ""
            self.stdout.write(f"{MARKS[finding.is_good]}{finding.rule}{detail}{pitfall}")
        unseen = {**BY_EYE, **({} if options["try_writes"] else WITH_WRITES)}
        for number, why in sorted(unseen.items()):
            self.stdout.write(f"eye {why} [pitfall {number}]")
        if broken:
            raise CommandError(f"{broken} rules are broken.")
        self.stdout.write("Every rule that could be looked at is kept.")
