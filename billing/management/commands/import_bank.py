"""`manage.py import_bank statement.csv`: credits of our bank account, matched to settlements by UTR."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from billing.payments import bank


class Command(BaseCommand):
    help = "Import a bank statement: CSV with the columns date (2026-11-30), reference (UTR), amount (rupees) [, text]."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="Tell what would come of it, and keep nothing.")
        parser.add_argument("--skip-problems", action="store_true", help="Take the usable lines of a file with others.")
        parser.add_argument("--date-format", default=bank.ISO, help="For example %%d/%%m/%%Y.")
        for name in ("date", "reference", "amount", "text"):
            parser.add_argument(f"--{name}", default=name, metavar="HEADING", help=f"The column of the {name}.")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                columns = {name: options[name] for name in bank.COLUMNS}
                taken = self._take(lines, columns, options)
        except (OSError, UnicodeDecodeError, bank.UnreadableStatement) as error:
            raise CommandError(str(error)) from error
        for number, problem in taken.problems:
            print(f"line {number}: {problem}")
        if beyond := taken.unusable - len(taken.problems):
            print(f"and {beyond} more lines that cannot be used")
        if taken.problems and not (options["dry_run"] or options["skip_problems"]):
            raise CommandError("Nothing was taken.")
        print(f"{taken.new} new lines")

    def _take(self, lines: Any, columns: dict[str, str], options: dict[str, Any]) -> bank.Taken:
        with transaction.atomic():
            taken = bank.take(
                lines, now=timezone.now(), columns=columns, date_format=options["date_format"],
                is_dry_run=options["dry_run"],
            )  # fmt: skip
            if taken.problems and not options["skip_problems"]:
                transaction.set_rollback(True)
        return taken
