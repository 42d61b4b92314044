"""Money under load: holds per second on one hot wallet, whole charges, and prices; each beside its floor.

    python -m bench.billing

Runs on engines of its own in a temporary folder. Floors: the same statements on bare psycopg connections, and the bare
multiplication in Python.
"""

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

WORKERS, SECONDS = 8, 4.0
GOAL_HOT_WALLET, GOAL_CHARGES, CHARGES, CHARGES_ALONE = 200, 400, 3_000, 200


def per_second(work: Callable[[int], object], seconds: float = SECONDS) -> float:
    """How often WORKERS threads together finish `work` in a second."""
    from django.db import connection

    deadline = time.perf_counter() + seconds

    def loop(worker: int) -> int:
        done = 0
        try:
            while time.perf_counter() < deadline:
                work(worker)
                done += 1
        finally:
            connection.close()
        return done

    begun = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        total = sum(pool.map(loop, range(WORKERS)))
    return total / (time.perf_counter() - begun)


def raw_hold(wallet_id: int) -> Callable[[int], None]:
    """The floor: the same two statements in one transaction, on a bare psycopg connection per thread."""
    import threading

    import psycopg

    from fleetcharge.lib.db import conninfo

    local = threading.local()

    def work(_: int) -> None:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(conninfo(), autocommit=True)
        with local.connection.transaction():
            local.connection.execute(
                "INSERT INTO billing_hold (wallet_id, session_key, amount_paise, energy_wh, limits, state, expires_at,"
                " created_at) VALUES (%s, %s, 1, 0, '{}', 'active', now(), now())",
                [wallet_id, uuid.uuid4().hex],
            )
            local.connection.execute(
                "UPDATE billing_wallet SET held_paise = held_paise + 1 WHERE account_id = %s AND state = 'active'"
                " AND posted_paise - held_paise + credit_limit_paise >= 1",
                [wallet_id],
            )

    return work


def hot_wallet() -> None:
    from django.utils import timezone

    from billing.services import verification, wallets
    from billing.services.ledger import Dimensions
    from billing.services.wallets import Charge
    from fleetcharge.accounts.models import Organisation

    now = timezone.now()
    organisation = Organisation.objects.create(name="Bench", slug=f"bench-{uuid.uuid4().hex[:8]}")
    wallet = wallets.open_wallet(organisation_id=organisation.pk)
    wallets.top_up(organisation_id=organisation.pk, amount_paise=10**12, key="bench", at=now)

    def hold(_: int) -> None:
        wallets.hold(organisation_id=organisation.pk, session_key=uuid.uuid4().hex, amount_paise=1, now=now)

    def session(_: int) -> None:
        key = uuid.uuid4().hex
        wallets.hold(organisation_id=organisation.pk, session_key=key, amount_paise=50_00, now=now)
        wallets.capture(
            organisation_id=organisation.pk,
            session_key=key,
            entry_key=f"bench:{key}",
            charges=[Charge("revenue:charging", 10_00, "bench"), Charge("output_cgst", 90, "bench")],
            about=Dimensions(organisation_id=organisation.pk),
            at=now,
            now=now,
        )

    floor = per_second(raw_hold(wallet.pk))
    holds = per_second(hold)
    charged = per_second(session)
    print(f"hot wallet, {WORKERS} connections: raw SQL {floor:,.0f} holds/s, service {holds:,.0f} holds/s,"
          f" ratio {holds / floor:.2f}; hold + capture {charged:,.0f} sessions/s")  # fmt: skip
    print(f"goal of {GOAL_HOT_WALLET} sessions/s on a hot wallet: {verdict(charged, GOAL_HOT_WALLET)}")
    differences = verification.differences()
    print("books after the run:", differences or "agree")


def charges() -> None:
    """What one worker does with finished sessions: find their price, rate them, capture the hold, post the legs."""
    from bench.charging import records
    from billing.charging import batches
    from billing.services import rating, verification

    cdrs = records(CHARGES + CHARGES_ALONE)
    alone, together = cdrs[:CHARGES_ALONE], cdrs[CHARGES_ALONE:]
    parts = [together[at : at + batches.BATCH] for at in range(0, len(together), batches.BATCH)]
    _charged("one by one", len(alone), alone, lambda cdr, now: rating.rate_and_capture(cdr_id=cdr, now=now))
    rate = _charged(
        f"{batches.BATCH} together", len(together), parts,
        lambda part, now: len(batches.charge_together(cdr_ids=part, now=now)),
    )  # fmt: skip
    print(f"books: {verification.differences() or 'agree'}; goal of {GOAL_CHARGES} sessions/s rated and captured:"
          f" {verdict(rate, GOAL_CHARGES)}")  # fmt: skip


def _charged(how: str, count: int, work: Sequence[Any], charge: Callable[[Any, datetime], int]) -> float:
    """Sessions per second; the statements are those of the first piece of work."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    with CaptureQueriesContext(connection) as seen:
        done = charge(work[0], timezone.now())
    first, begun, used = done, time.perf_counter(), time.process_time()
    done += sum(charge(each, timezone.now()) for each in work[1:])
    assert done == count
    rate, cpu = (done - first) / (time.perf_counter() - begun), (time.process_time() - used) / (done - first)
    print(f"rate + capture, one worker, one wallet, {how}: {rate:,.0f} sessions/s, {cpu * 1e3:.2f} ms of its CPU and"
          f" {len(seen) / first:.2f} statements each")  # fmt: skip
    return rate


def verdict(rate: float, goal: float) -> str:
    return "reached" if rate >= goal else "NOT reached"


def prices() -> None:
    from datetime import UTC, datetime

    from billing import rating

    zone = ZoneInfo("Asia/Kolkata")
    at = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    energy = {"type": "ENERGY", "price": "18.50", "step_size": 1}
    idle = {"type": "PARKING_TIME", "price": "60", "step_size": 60}
    plain: list[dict[str, Any]] = [{"price_components": [energy, idle]}]
    solar: list[dict[str, Any]] = [
        {"price_components": [{**energy, "price": "13"}], "restrictions": {"start_time": "09:00", "end_time": "16:00"}},
        *plain,
    ]
    count = 10_000
    for name, elements in (("plain", plain), ("time of day", solar)):
        begun = time.perf_counter()
        for number in range(count):
            rating.quote(
                elements=elements, energy_wh=10_000 + number, duration_s=7200, idle_s=300, at=at, tz=zone,
                gst_percent=18,
            )  # fmt: skip
        ours = count / (time.perf_counter() - begun)
        begun = time.perf_counter()
        for number in range(count):
            (((10_000 + number) * 1850 + 500) // 1000 * 118 + 50) // 100
        floor = count / (time.perf_counter() - begun)
        print(f"quote, {name} tariff: {ours:,.0f}/s on one core (one multiplication in Python: {floor:,.0f}/s)")


def rates() -> None:
    """Whole sessions by pinned tariffs, as in bulk; the explanation apart, as it is made when asked for."""
    from bench import rated as examples
    from billing import rating

    for name, elements in examples.TARIFFS.items():
        tariff, sessions = rating.prepare(elements), examples.sessions()
        begun = time.process_time()
        for at, periods in sessions:
            rating.rate(elements=tariff, periods=periods, started_at=at, tz=examples.ZONE, gst_percent=18)
        ours = len(sessions) / (time.process_time() - begun)
        begun = time.process_time()
        for _, periods in sessions:
            total = sum([period.energy_wh for period in periods]) * 1850
            ((total + 500) // 1000 * 118 + 50) // 100
        floor = len(sessions) / (time.process_time() - begun)
        begun = time.process_time()
        for at, periods in sessions[:2_000]:
            price = rating.rate(elements=tariff, periods=periods, started_at=at, tz=examples.ZONE, gst_percent=18)
            assert sum(line.amount_paise for line in price.lines) == price.taxable_paise
        explained = 2_000 / (time.process_time() - begun)
        print(f"rating, {name}, 1 to 8 periods: {ours:,.0f} sessions/s on one core, with every line {explained:,.0f}/s"
              f" (a sum and a multiplication in Python: {floor:,.0f}/s)")  # fmt: skip


def main() -> None:
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
            run()
        finally:
            release_engines()


def run() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    prices()
    rates()
    charges()
    hot_wallet()


if __name__ == "__main__":
    main()
