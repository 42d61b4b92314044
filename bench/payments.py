"""A storm of webhooks: signed, ten times over, shuffled, at the real ASGI route, beside a raw one that does nothing.

    python -m bench.payments [--seconds 6] [--payments 150] [--connections 16]

The server has one core to itself, this client the other, PostgreSQL shares both (its own cluster with fsync on, in a
temporary folder). In the end the wallets hold exactly what was paid.
"""

import argparse
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.pings import cpu_seconds, load, server

COPIES, FLEETS, SEED = 10, 5, 20261122
GOAL_RATE, GOAL_P99_MS = 500, 50


def pay(count: int) -> tuple[list[Any], dict[int, int]]:
    """Orders of our fleets, paid at the emulator: its webhooks, and what each fleet should have in the end."""
    from django.utils import timezone

    from billing.gateways import choice
    from billing.gateways.emulator import payments as payer
    from billing.gateways.emulator.bank import Bank
    from billing.gateways.emulator.server import Emulator, EmulatorThread
    from billing.gateways.emulator.webhooks import delivery
    from billing.gateways.razorpay import RazorpayGateway
    from billing.payments import intents
    from billing.services import wallets
    from fleetcharge.accounts.models import Organisation

    rng = random.Random(SEED)
    key_id, key_secret = choice.credentials()
    bank = Bank()
    fleets = [Organisation.objects.create(name=f"Bench {n}", slug=f"bench-{n}").pk for n in range(FLEETS)]
    due = dict.fromkeys(fleets, 0)
    for fleet in fleets:
        wallets.open_wallet(organisation_id=fleet)
    with EmulatorThread(Emulator(key_id, key_secret, bank)) as thread:
        gateway = RazorpayGateway(key_id=key_id, key_secret=key_secret, base_url=thread.url, timeout_s=30)
        for _ in range(count):
            fleet, paise = rng.choice(fleets), rng.randrange(100_00, 9_999_00)
            intent = intents.start_order(organisation_id=fleet, amount_paise=paise, now=timezone.now())
            intent = intents.work(intent_id=intent.pk, now=timezone.now(), gateway=gateway)
            payer.pay_order(bank, str(intent.order_id))
            due[fleet] += paise
    (secret,) = choice.webhook_secrets()
    return [delivery(event, secret) for event in bank.events], due


def requests(letters: list[Any]) -> Callable[[], bytes]:
    """Every delivery COPIES times in one shuffled order, and from the beginning again when there is time left."""
    many = [_raw(each) for each in letters for _ in range(COPIES)]
    random.Random(SEED).shuffle(many)
    return itertools.cycle(many).__next__


def _raw(letter: Any) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in letter.headers.items())
    head = f"POST /payments/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(letter.raw)}\r\n\r\n"
    return head.encode() + bytes(letter.raw)


def measure(seconds: float, payments: int, connections: int) -> int:
    """Run everything and print it; 1 when a paisa is missing or too much."""
    import uvloop
    from django.core.management import call_command

    from fleetcharge.embedded.ports import random_free_port

    call_command("migrate", verbosity=0)
    cores = sorted(os.sched_getaffinity(0))
    letters, due = pay(payments)
    os.sched_setaffinity(0, {cores[-1]})
    port = random_free_port()
    with server("bench.pings:floor", port, cores[0]):
        bare = uvloop.run(load(port, requests(letters), connections, seconds / 2))
    port = random_free_port()
    with server("fleetcharge.asgi:application", port, cores[0]) as pid:
        wanted = b'"kept"'
        # first contact: connections, prepared statements
        uvloop.run(load(port, requests(letters[:1]), connections, 1, wanted))
        used = cpu_seconds(pid)
        storm = uvloop.run(load(port, requests(letters), connections, seconds, wanted))
        used = cpu_seconds(pid) - used
    os.sched_setaffinity(0, set(cores))
    handled, took = _work_off()
    wrong = _wrong(due)
    print(f"raw ASGI no-op     {bare['rate']:8,.0f} req/s  p50 {bare['p50_ms']:5.1f}  p99 {bare['p99_ms']:5.1f} ms")
    print(
        f"webhooks, durable  {storm['rate']:8,.0f} req/s  p50 {storm['p50_ms']:5.1f}  p99 {storm['p99_ms']:5.1f} ms   "
        f"{storm['rate'] / bare['rate']:.2f} of the floor, {used / storm['count'] * 1e3:.2f} ms of CPU each"
    )
    print(f"{storm['count']:,} deliveries of {len(letters)} events; {handled} handled at {handled / took:,.0f}/s; "
          f"refused: {len(storm['failures'])} {storm['failures'][:1] or ''}")  # fmt: skip
    print(f"wallets that do not hold what was paid: {len(wrong)} {wrong or ''}")
    if storm["count"] < len(letters) * COPIES:
        print(f"(too short for every delivery ten times: {storm['count'] / len(letters):.1f} times)")
    is_fast = storm["rate"] >= GOAL_RATE and storm["p99_ms"] <= GOAL_P99_MS
    print(f"goal of {GOAL_RATE} webhooks/s with p99 <= {GOAL_P99_MS} ms: {'reached' if is_fast else 'NOT reached'}")
    print(f"goal of the same balance: {'NOT reached' if wrong or storm['failures'] else 'reached'}")
    return int(bool(wrong or storm["failures"]))


def _work_off() -> tuple[int, float]:
    """What the workers do afterwards: events handled, seconds it took."""
    from django.utils import timezone

    from billing.payments import inbox

    began, handled = time.perf_counter(), 0
    while taken := inbox.work(now=timezone.now()):
        handled += taken
    return handled, time.perf_counter() - began


def _wrong(due: dict[int, int]) -> list[Any]:
    from billing.models import Wallet
    from billing.services import verification

    posted = dict(Wallet.objects.values_list("organisation_id", "posted_paise"))
    wrong: list[Any] = [(fleet, paise, posted.get(fleet)) for fleet, paise in due.items() if posted.get(fleet) != paise]
    return wrong + list(verification.differences())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=6.0, help="of the storm")
    parser.add_argument("--payments", type=int, default=150)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as var:
        Path(var).chmod(0o755)
        for variable in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
            os.environ.pop(variable, None)
        os.environ["FLEETCHARGE_VAR_DIR"] = var
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
        import django

        django.setup()
        try:
            return measure(options.seconds, options.payments, options.connections)
        finally:
            from fleetcharge.embedded import release_engines

            release_engines()


if __name__ == "__main__":
    raise SystemExit(main())
