"""The month run: every fleet's invoice numbered, posted and proven, its PDF and annexures written.

    python -m bench.month                    1,000 invoices of 200 sessions
    python -m bench.month 50 --sessions 200  a smaller month
    python -m bench.month 50 --profile       where the time of issuing goes

Runs on engines of its own in a temporary folder. The sessions are copies of a handful that went the whole way through
the services, each with its charge in the ledger; so that the checklist and the proof of the close are the real ones.
The floor is what ReportLab takes for a page with the same number of words and no invoice around them.
"""

import argparse
import cProfile
import os
import pstats
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

GOAL_S = 180  # for 1,000 invoices of 200 sessions


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.month", description=__doc__.split("\n", 1)[0])
    parser.add_argument("invoices", type=int, nargs="?", default=1_000)
    parser.add_argument("--sessions", type=int, default=200, help="on each invoice")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 (the engines may run under another uid)
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        from fleetcharge.embedded import provide_engines, release_engines

        provide_engines()
        try:
            django.setup()
            run(asked, Path(folder) / "files")
        finally:
            release_engines()


def run(asked: argparse.Namespace, folder: Path) -> None:
    from django.core.management import call_command

    from bench import month_data

    call_command("migrate", verbosity=0)
    begun = time.perf_counter()
    month_data.make(organisations=asked.invoices, sessions=asked.sessions)
    print(f"{asked.invoices} fleets with {asked.sessions} sessions each, made in {time.perf_counter() - begun:.0f} s")
    with _profiled(asked.profile):
        closing = _timed(lambda: close(1 if asked.profile else asked.processes))
    writing = _timed(lambda: write(folder, asked.processes))
    whole = closing["wall"] + writing["wall"]
    for name, spent in (("closed", closing), ("files written", writing)):
        print(f"{name}: {spent['wall']:.1f} s, {spent['cpu'] / asked.invoices * 1000:.0f} ms of our CPU per invoice;"
              f" {spent['result']}")  # fmt: skip
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    floor = floor_of_a_page(asked.sessions)
    print(f"month run: {asked.invoices / whole:.1f} invoices/s, {whole:.0f} s in all ({size / 1e6:.0f} MB of files);"
          f" goal {1_000 / GOAL_S:.1f}/s; floor: a PDF of as many words {floor * 1000:.0f} ms")  # fmt: skip


def close(processes: int) -> str:
    from datetime import UTC, datetime

    from bench.month_data import MONTH
    from billing.invoicing.services import months

    closed = months.close(day=MONTH, now=datetime(2026, 12, 2, tzinfo=UTC), actor_label="bench", processes=processes)
    figures = closed.month.figures
    unexplained = abs(figures["unexplained_paise"]) + sum(map(abs, figures["unexplained_tax_paise"].values()))
    return f"{closed.documents} documents, {unexplained} paise unexplained"


def write(folder: Path, processes: int) -> str:
    from bench.month_data import MONTH
    from billing.invoicing import archive
    from billing.invoicing.models import AccountingMonth

    return f"{archive.write(AccountingMonth.objects.get(starts_on=MONTH), folder, processes=processes)} files"


def floor_of_a_page(sessions: int) -> float:
    """Seconds of CPU for ten words per session on as many pages, drawn bare."""
    import io

    from reportlab.pdfgen.canvas import Canvas

    begun = time.process_time()
    canvas = Canvas(io.BytesIO())
    for number in range(sessions):
        for column in range(10):
            canvas.drawString(20 + 50 * column, 800 - 13 * (number % 60), "1,234.56")
        if number % 60 == 59:
            canvas.showPage()
    canvas.save()
    return time.process_time() - begun


def _timed(work: Any) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), _cpu()
    result = work()
    return {"result": result, "wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}


def _cpu() -> float:
    """Of this process and the ended ones it began; the database's is not ours."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class _profiled:
    def __init__(self, is_wanted: bool) -> None:
        self._profile = cProfile.Profile() if is_wanted else None

    def __enter__(self) -> None:
        if self._profile:
            self._profile.enable()

    def __exit__(self, *_: object) -> None:
        if self._profile:
            self._profile.disable()
            pstats.Stats(self._profile).sort_stats("cumtime").print_stats(45)


if __name__ == "__main__":
    main()
