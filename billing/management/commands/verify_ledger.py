"""`manage.py verify_ledger`: recompute every balance from the journal and compare; exit code 1 on a difference."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.limits import proving
from billing.services import verification


class Command(BaseCommand):
    help = "Recompute every balance from the journal and compare."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--recount-limits", action="store_true",
            help="First count anew what spending limits have spent, where it differs from their sessions.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        if options["recount_limits"]:
            self.stdout.write(f"{proving.repair(actor_label='verify_ledger')} limits counted anew")
        found = verification.differences()
        for name, rows in found.items():
            self.stderr.write(f"{name}:")
            for row in rows:
                self.stderr.write("  " + ", ".join(map(str, row)))
        if found:
            raise CommandError(f"{len(found)} of {verification.checks()} checks failed")
        transfers, wallets, captured = verification.volume()
        self.stdout.write(
            f"{transfers} transfers, {wallets} wallets, {captured} captured sessions: "
            f"all {verification.checks()} checks hold, {verification.sealed_days()} days sealed"
        )
