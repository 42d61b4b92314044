"""`manage.py import_stations FILE`: stations from CSV, GeoJSON or Open Charge Map JSON, cleaned, with a full report."""

import csv
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from fleetcharge.accounts.models import Organisation
from stations.imports.loading import Report, clean_rows, load
from stations.imports.readers import UnreadableFile, read
from stations.models import Source


class Command(BaseCommand):
    help = "Import stations from a CSV, GeoJSON or Open Charge Map file. Loading a file twice changes nothing."

    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--source", default="", help="Name of the network the stations belong to (default: the file)."
        )
        parser.add_argument("--organisation", default="", help="Slug of the fleet that owns them; empty: public.")
        parser.add_argument("--format", choices=["auto", "csv", "geojson", "ocm"], default="auto")
        parser.add_argument("--dry-run", action="store_true", help="Clean and report, write nothing.")
        parser.add_argument("--report", type=Path, help="Write every corrected or rejected row to this CSV file.")
        parser.add_argument("--licence", default="", help="Licence of the data, shown with it.")
        parser.add_argument(
            "--trust-position", action="store_true", help="Keep rows whose PIN lies elsewhere, without the PIN."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = self._read(options["file"], options["format"])
        report = Report()
        cleaned = list(clean_rows(rows, report, trust_position=options["trust_position"]))
        with transaction.atomic():
            source = self._source(options)
            load(source=source, rows=cleaned, at=timezone.now(), report=report, progress=self._progress)
            transaction.set_rollback(options["dry_run"])
        self._print(report, options["dry_run"])
        if options["report"]:
            _write(report, options["report"])

    def _read(self, path: Path, file_format: str) -> list[Any]:
        try:
            return read(path.read_text(encoding="utf-8-sig"), file_format)
        except OSError as error:
            raise CommandError(f"{path} cannot be opened: {error.strerror}") from None
        except (UnicodeDecodeError, UnreadableFile) as error:
            raise CommandError(f"{path}: {error}") from None

    def _source(self, options: dict[str, Any]) -> Source:
        name = options["source"] or options["file"].stem
        owner = None
        if slug := options["organisation"]:
            owner = Organisation.objects.filter(slug=slug).first()
            if owner is None:
                raise CommandError(f"There is no organisation {slug!r}.")
        source, _ = Source.objects.get_or_create(
            slug=slugify(name)[:50] or "import",
            defaults={"name": name, "kind": Source.Kind.IMPORT, "organisation": owner, "state": Source.State.CONNECTED,
                      "licence": options["licence"]},
        )  # fmt: skip
        if source.kind != Source.Kind.IMPORT:
            raise CommandError(f"{source.name} is a live network; choose another --source.")
        return source

    def _progress(self, done: int, total: int) -> None:
        if sys.stderr.isatty() or done == total:
            filled = 30 * done // total
            self.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} stations", ending="")
            if done == total:
                self.stderr.write("")

    def _print(self, report: Report, is_dry_run: bool) -> None:
        for line in report.lines:
            self.stdout.write(f"line {line['line']}: {line['what']}: {line['why']}")
        verb = "would be written" if is_dry_run else "written"
        self.stdout.write(
            f"{report.rows} rows: {report.stations} stations with {report.connectors} connectors {verb}, "
            f"{report.corrected} rows corrected, {report.rejected} rejected"
        )


def _write(report: Report, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["line", "what", "code", "why"])
        writer.writeheader()
        writer.writerows(report.lines)
