"""`manage.py close_month 2026-11`: the checklist, every document, the proof, the lock, and the files on request."""

import os
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.invoicing import archive
from billing.invoicing.models import AccountingMonth
from billing.invoicing.services import checklist, months
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr


class Command(BaseCommand):
    help = "Close a month: vouchers, invoices, notes, proof, lock."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--check", action="store_true", help="Only say what stands against it.")
        parser.add_argument("--accept", default="", metavar="REASON", help="Close over what should be done first.")
        parser.add_argument("--output", type=Path, help="Write every PDF, annexure and export below this folder.")
        parser.add_argument("--processes", type=int, help="How many work on it together; one per core unless said.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            day = date.fromisoformat(f"{options['month']}-01")
        except ValueError:
            raise CommandError("A month looks like 2026-11.") from None
        month = months.month_of(day)
        if options["check"]:
            self._show(checklist.run(month, now=timezone.now()))
            return
        if not month.is_closed:
            month = self._close(day, options["accept"], options["processes"])
        elif options["output"] is None:
            raise CommandError(f"{month} is closed already.")
        if options["output"] is not None:
            self._write(month, options["output"], options["processes"])

    def _close(self, day: date, reason: str, processes: int | None) -> AccountingMonth:
        try:
            closed = months.close(
                day=day, now=timezone.now(), reason=reason, actor_label="close_month",
                processes=processes or os.cpu_count() or 1,
            )  # fmt: skip
        except months.NotReady as error:
            self._show(error.checks)
            raise CommandError("The month is not ready; --accept REASON closes over what should be done first.") from (
                error
            )
        except Conflict as error:
            raise CommandError(str(error.detail)) from error
        self._show(closed.checks)
        self._sums(closed.month)
        return closed.month

    def _show(self, checks: list[checklist.Check]) -> None:
        for check in checks:
            mark = "ok  " if check.is_fine else f"{check.weight:4}"
            self.stdout.write(f"  {mark} {check.title}{'' if check.is_fine else f': {check.count}'}")

    def _sums(self, month: AccountingMonth) -> None:
        figures = month.figures
        for kind, sums in figures["documents"].items():
            self.stdout.write(f"  {sums['count']:6} {kind:16} {format_inr(sums['total']):>20}")
        for name in ("charged", "billed", "held", "unjudged", "late", "unexplained"):
            self.stdout.write(f"  {name:23} {format_inr(figures[f'{name}_paise']):>20}")
        tax = sum(map(abs, figures["unexplained_tax_paise"].values()))
        self.stdout.write(f"{month} is closed; unexplained: {abs(figures['unexplained_paise']) + tax} paise")

    def _write(self, month: AccountingMonth, folder: Path, processes: int | None) -> None:
        count = archive.write(month, folder, processes=processes)
        self.stdout.write(f"{count} files in {folder / f'{month.starts_on:%Y-%m}'}")
