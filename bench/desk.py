"""Finance's ledger page over a million rows: what each view takes in the database and in all.

    python -m bench.desk [rows]

Rows are loaded with COPY into engines of their own in a temporary folder. Every figure stands beside the bare count of
all rows, which reads the whole table once.
"""

import functools
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

ROWS, REPEATS = 1_000_000, 5
PAGE = "/admin/billing/ledgertransfer/"


def load(rows: int) -> tuple[Any, Any]:
    """`rows` transfers of 50 fleets over two years; the wallets' projection is not what is measured here."""
    from django.db import connection
    from django.utils import timezone

    from billing.services import ledger
    from fleetcharge.accounts.models import Membership, Organisation, User

    fleets = [Organisation.objects.create(name=f"Fleet {n}", slug=f"fleet-{n}") for n in range(50)]
    chief = User.objects.create_superuser("chief@bench.example", "bench")
    clerk = User.objects.create_user("clerk@bench.example", "bench", is_staff=True)
    Membership.objects.create(user=clerk, organisation=fleets[0], role="finance")
    codes = [f"receivable:{fleet.pk}" for fleet in fleets]
    accounts = ledger.accounts_for([*codes, "bank", "revenue:charging"])
    now, begun = timezone.now(), time.perf_counter()
    names = (
        "entry_key, leg, debit_id, credit_id, amount_paise, currency, kind, memo, cost_centre, request_hash, actor,"
        " organisation_id, occurred_at, recorded_at"
    )
    with connection.cursor() as cursor, cursor.copy(f"COPY billing_ledgertransfer ({names}) FROM STDIN") as out:
        for number in range(rows):
            fleet = fleets[number % 50]
            kind, other = (("charge", "revenue:charging"), ("settle_receivable", "bank"))[number % 7 == 0]
            at = now - timedelta(days=730) * (rows - number) / rows
            debit, credit = accounts[f"receivable:{fleet.pk}"].pk, accounts[other].pk
            debit, credit = (credit, debit) if number % 7 == 0 else (debit, credit)
            row = (f"{kind}:{number}", 1, debit, credit, 100 + number % 90_000, "INR", kind)
            out.write_row((*row, "", "", "", "bench", fleet.pk, at, at))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE billing_ledgertransfer")
    sys.stdout.write(f"{rows:,} rows loaded in {time.perf_counter() - begun:.1f} s\n")
    return chief, clerk


def timed(name: str, work: Callable[[], object]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    work()
    wall, spent, queries = [], [], 0
    for _ in range(REPEATS):
        with CaptureQueriesContext(connection) as seen:
            begun = time.perf_counter()
            work()
            wall.append(time.perf_counter() - begun)
        spent.append(sum(float(query["time"]) for query in seen))
        queries = len(seen)
    database, total = statistics.median(spent) * 1000, statistics.median(wall) * 1000
    sys.stdout.write(f"{name:44} {total:8.0f} ms   of it {database:7.0f} ms in {queries} queries\n")


def run(rows: int) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from billing.models import LedgerTransfer

    call_command("migrate", verbosity=0)
    settings.ALLOWED_HOSTS = ["*"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    chief, clerk = load(rows)
    newest = LedgerTransfer.objects.order_by("-pk").values_list("pk", "entry_key")[0]
    month = time.strftime("%Y-%m")
    views = {
        "first page": "", "page 100": "?p=100", "the last by key": f"?id__lt={newest[0] - rows + 500}",
        "one kind": "?kind__exact=settle_receivable", "one month": f"?month={month}", "an entry": f"?q={newest[1]}",
        "an account": "?q=receivable:7",
    }  # fmt: skip
    timed("floor: SELECT count(*)", LedgerTransfer.objects.count)
    for who, label in ((chief, "all fleets"), (clerk, "one fleet")):
        client = Client()
        client.force_login(who)
        for name, query in views.items():
            timed(f"{label}: {name}", functools.partial(_shown, client, query))
    client = Client()
    client.force_login(chief)
    tracemalloc.start()
    begun = time.perf_counter()
    answer: Any = client.get(PAGE + "export")
    lines = sum(1 for _ in answer.streaming_content)
    most = tracemalloc.get_traced_memory()[1] / 1e6
    sys.stdout.write(
        f"export of {lines:,} lines: {time.perf_counter() - begun:.1f} s (traced), {most:.0f} MB at most\n"
    )
    connection.close()


def _shown(client: Any, query: str) -> None:
    if client.get(PAGE + query).status_code != 200:
        raise RuntimeError(query)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
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
            run(rows)
        finally:
            release_engines()


if __name__ == "__main__":
    main()
