"""`manage.py import_bank statement.csv`: credits of our bank account, matched to settlements by UTR."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.payments import bank


class Command(BaseCommand):
    help = "Import a bank statement: CSV with the columns date (2026-11-30), reference (UTR), amount (rupees) [, text]."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                count = bank.import_csv(lines, now=timezone.now())
        except (OSError, UnicodeDecodeError, bank.UnreadableStatement) as error:
            raise CommandError(str(error)) from error
        print(f"{count} new lines")
