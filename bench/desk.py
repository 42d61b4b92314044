"""Finance's ledger page over a million rows: what each view takes in the database and in all.

    python -m bench.desk [rows]

Rows are made by one INSERT ... SELECT in engines of their own in a temporary folder. Every figure stands beside the
bare count of all rows, which reads the whole table once.
"""

import functools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROWS, REPEATS, GOAL_MS = 1_000_000, 5, 300
PAGE = "/admin/billing/ledgertransfer/"
LOADED = """
INSERT INTO billing_ledgertransfer (
    entry_key, leg, debit_id, credit_id, amount_paise, currency, kind, memo, cost_centre, request_hash, actor,
    organisation_id, occurred_at, recorded_at)
SELECT kind || ':' || n, 1,
       CASE WHEN is_paid THEN %(bank)s ELSE owed END, CASE WHEN is_paid THEN owed ELSE %(sold)s END,
       100 + n %% 90000, 'INR', kind, '', '', '', 'bench', fleet, at, at
FROM (
    SELECT n, n %% 7 = 0 AS is_paid, CASE WHEN n %% 7 = 0 THEN 'settle_receivable' ELSE 'charge' END AS kind,
           (%(fleets)s::bigint[])[1 + n %% 50] AS fleet, (%(owed)s::bigint[])[1 + n %% 50] AS owed,
           %(now)s::timestamptz - interval '730 days' * (%(rows)s - n) / %(rows)s AS at
    FROM generate_series(0, %(rows)s::bigint - 1) n
) made ORDER BY n"""


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
    begun = time.perf_counter()
    facts: dict[str, Any] = {
        "rows": rows, "now": timezone.now(), "fleets": [fleet.pk for fleet in fleets], "bank": accounts["bank"].pk,
        "owed": [accounts[code].pk for code in codes], "sold": accounts["revenue:charging"].pk,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_ledgertransfer DISABLE TRIGGER USER")  # the projection is not measured
        cursor.execute(LOADED, facts)
        cursor.execute("ALTER TABLE billing_ledgertransfer ENABLE TRIGGER USER")
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
    verdict = "" if name.startswith("floor") else "reached" if total <= GOAL_MS else "NOT reached"
    sys.stdout.write(f"{name:44} {total:8.0f} ms   of it {database:7.0f} ms in {queries} queries  {verdict}\n")


def run(rows: int) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.urls import reverse

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
    for who, label, seen in ((chief, "all fleets", rows), (clerk, "one fleet", rows // 50)):
        views["page 100"] = f"?p={min(100, max(1, seen // 50))}"
        client = Client()
        client.force_login(who)
        for name, query in views.items():
            timed(f"{label}: {name}", functools.partial(_shown, client, query))
    client = Client()
    client.force_login(chief)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    answer: Any = client.get(reverse("admin:billing_ledgertransfer_export"))
    lines = sum(piece.count(b"\n") for piece in answer.streaming_content)
    took = time.perf_counter() - begun
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sys.stdout.write(
        f"export of {lines:,} lines: {took:.1f} s, {lines / took:,.0f} lines/s, +{more:.0f} MB at most (goal: 20)\n"
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
