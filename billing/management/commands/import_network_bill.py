"""`manage.py import_network_bill volt bill.csv --organisation namma --number B-7 --from 2026-11-01 --to 2026-11-30`."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.cpo_bills import services, uploads
from billing.cpo_bills.reading import Layout
from billing.models import BillUpload
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr
from stations.models import Source


class Command(BaseCommand):
    help = "Import a network's bill (CSV) and compare it with its records and our meters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("network", help="The slug of its source.")
        parser.add_argument("file", type=Path)
        parser.add_argument("--organisation", required=True, help="Its slug.")
        parser.add_argument("--number", required=True, help="The network's number of the bill.")
        parser.add_argument("--from", dest="since", required=True, type=date.fromisoformat)
        parser.add_argument("--to", dest="until", required=True, type=date.fromisoformat, help="The last day.")
        names = "reference, started_at, energy, total; without any, the stored format is used."
        parser.add_argument("--column", action="append", default=[], metavar="NAME=HEADING", help=names)
        parser.add_argument("--owner", help="E-mail of who takes care of what differs.")
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--skip-problems", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = Organisation.objects.filter(slug=options["organisation"]).first()
        source = Source.objects.filter(slug=options["network"]).first()
        if organisation is None or source is None:
            raise CommandError("There is no such organisation or network.")
        named = dict(each.partition("=")[::2] for each in options["column"])
        layout = Layout(named) if named else services.layout_of(organisation, source)
        if layout is None:
            raise CommandError("Name the columns, or store a bill format for this network in the admin.")
        try:
            done = uploads.run(
                organisation=organisation, source=source, number=options["number"], starts_on=options["since"],
                ends_on=options["until"], file_name=options["file"].name, content=options["file"].read_bytes(),
                layout=layout, at=timezone.now(), is_trial=options["dry_run"], skips_problems=options["skip_problems"],
                actor=User.objects.filter(email=options["owner"]).first() if options["owner"] else None,
            )  # fmt: skip
        except (OSError, Conflict) as error:
            raise CommandError(str(error)) from error
        self._tell(done)
        if done.state == BillUpload.State.REFUSED or (done.state == BillUpload.State.TRIED and not options["dry_run"]):
            raise CommandError(f"Nothing was taken. {done.error}")

    def _tell(self, done: BillUpload) -> None:
        for number, problem in done.problems:
            print(f"line {number}: {problem}")
        if beyond := done.unusable - len(done.problems):
            print(f"and {beyond} more lines that cannot be used")
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(done.outcomes.items()))
        print(f"{done.lines} lines, {format_inr(done.total_paise)}: {outcomes}")
