"""`manage.py ocpi_selftest URL TOKEN`: look at a CPO's OCPI before connecting to it, and print what it keeps."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stations.cpo.ocpi.finding import BY_EYE, WITH_WRITES, Finding
from stations.cpo.ocpi.selftest import Probe
from stations.cpo.ocpi.visiting import Door, Visit, opened

MARKS = {True: "ok  ", False: "BAD ", None: "-   "}


class Command(BaseCommand):
    help = "Checks a CPO's OCPI interface, unasked without changing anything there. Exits with 1 when a rule is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="Its versions address.")
        parser.add_argument("token", help="The token that it takes from us.")
        parser.add_argument(
            "--try-writes", action="store_true", help="Also PATCH a token that nobody has, which it must refuse."
        )
        parser.add_argument(
            "--register-as", metavar="URL", default="",
            help="Also register, rotate, write one token and unregister. URL is where the CPO reaches --listen; "
            "the token is used up.",
        )  # fmt: skip
        parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:8073", help="Where it is called back.")

    def handle(self, *args: Any, **options: Any) -> None:
        broken = 0
        for finding in self._findings(options):
            broken += finding.is_good is False
            detail = f" ({finding.detail})" if finding.detail else ""
            pitfall = f" [pitfall {finding.pitfall}]" if finding.pitfall else ""
            self.stdout.write(f"{MARKS[finding.is_good]}{finding.rule}{detail}{pitfall}")
        unseen = {
            **({} if options["register_as"] else BY_EYE),
            **({} if options["try_writes"] else WITH_WRITES),
        }
        for number, why in sorted(unseen.items()):
            self.stdout.write(f"eye {why} [pitfall {number}]")
        if broken:
            raise CommandError(f"{broken} rules are broken.")
        self.stdout.write("Every rule that could be looked at is kept.")

    def _findings(self, options: dict[str, Any]) -> Iterator[Finding]:
        probe = Probe(options["url"], options["token"], tries_writes=options["try_writes"])
        yield from probe.run()
        if not options["register_as"] or probe.dialect is None:
            return
        host, _, port = options["listen"].rpartition(":")
        if not port.isdecimal():
            raise CommandError("--listen is HOST:PORT.")
        door = Door(options["register_as"], probe.dialect.version)
        with opened(door, host, int(port)):
            yield from Visit(probe, door).run()
