"""`manage.py verify_ledger`: recompute every balance from the journal and compare; exit code 1 on a difference."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.services import verification


class Command(BaseCommand):
    help = "Recompute every balance from the journal and compare."

    def handle(self, *args: Any, **options: Any) -> None:
        found = verification.differences()
        for name, rows in found.items():
            self.stderr.write(f"{name}:")
            for row in rows:
                self.stderr.write("  " + ", ".join(map(str, row)))
        if found:
            raise CommandError(f"{len(found)} of {len(verification.CHECKS) + 1} checks failed")
        transfers, wallets, captured = verification.volume()
        self.stdout.write(
            f"{transfers} transfers, {wallets} wallets, {captured} captured sessions: "
            f"all {len(verification.CHECKS) + 1} checks hold, {verification.sealed_days()} days sealed"
        )
