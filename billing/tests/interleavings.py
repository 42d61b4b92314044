"""Eight connections and any order of what moves money: the plan of a run, its course, and what must hold after it."""

import random
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import Sum

from billing.entitlement import Limit
from billing.limits import using
from billing.limits.periods import zone_of
from billing.models import Hold, LedgerTransfer, LimitUsage, Wallet
from billing.services import ledger, verification, wallets
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge
from billing.tests.factories import NOON, fund, limit
from fleetcharge.accounts.models import Organisation

CONNECTIONS = 8
KINDS = ("hold", "extend", "capture", "release", "top_up", "refund", "take_back")


@dataclass(frozen=True)
class Step:
    """What one connection does; `slot` names the session it is about, shared with the other connections."""

    kind: str
    slot: int
    paise: int


@dataclass
class Bank:
    """One fleet with a wallet, credit, and a limit that is narrower than the wallet may become."""

    organisation: Organisation
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    rounds: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def open_bank() -> Bank:
    organisation = Organisation.objects.create(name="Any order", slug=f"any-{uuid.uuid4().hex[:12]}")
    fund(organisation, 400, credit_limit_paise=100)
    limit(organisation, amount_paise=600)
    limit(organisation, period="month", amount_paise=900, is_hard=False)
    return Bank(organisation)


def refill(bank: Bank) -> None:
    """Fresh sessions, an open wallet with money, and room in the limits, so that a round is not all refusals."""
    Wallet.objects.filter(organisation=bank.organisation).update(state=Wallet.State.ACTIVE)
    fund(bank.organisation, 1_500)
    for usage in LimitUsage.objects.filter(limit__organisation=bank.organisation).select_related("limit"):
        usage.limit.amount_paise = usage.reserved_paise + usage.spent_paise + 600
        usage.limit.save(update_fields=["amount_paise"])


def random_steps(seed: int, count: int, slots: int) -> list[Step]:
    rng = random.Random(seed)
    weights = (5, 3, 5, 2, 3, 1, 1)
    return [Step(rng.choices(KINDS, weights)[0], rng.randrange(slots), rng.randrange(1, 160)) for _ in range(count)]


def run(bank: Bank, lanes: Sequence[Sequence[Step]]) -> None:
    """Every lane on a connection of its own, all at once; any error but a refusal is raised."""
    gate = threading.Barrier(len(lanes))
    bank.rounds += 1

    def drive(number: int) -> None:
        try:
            gate.wait()
            for index, step in enumerate(lanes[number]):
                _do(bank, step, f"{bank.name}-{bank.rounds}-{number}-{index}")
        finally:
            connection.close()

    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(drive, number) for number in range(len(lanes))]:
            done.result()


def check(bank: Bank, *, is_thorough: bool = True) -> None:
    """No overdraft, sums zero, projection = journal, holds = held, limits = holds, a charge at most once.

    `is_thorough`: with every check of `verify_ledger`, over everybody's rows.
    """
    wallet = Wallet.objects.get(organisation=bank.organisation)
    assert wallet.posted_paise - wallet.held_paise + wallet.credit_limit_paise >= 0
    assert wallet.posted_paise == ledger.balance_paise(wallet.account.code)
    active = Hold.objects.filter(wallet=wallet, state=Hold.State.ACTIVE)
    assert wallet.held_paise == (active.aggregate(total=Sum("amount_paise"))["total"] or 0)
    for usage in LimitUsage.objects.filter(limit__organisation=bank.organisation):
        assert usage.reserved_paise == wallet.held_paise
        if usage.is_hard:
            assert usage.reserved_paise + usage.spent_paise <= (usage.cap_paise or 0) + usage.excess_paise
    assert ledger.balance_paise(ledger.receivable_code(bank.organisation.pk)) >= 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(sum(CASE WHEN a.id = t.credit_id THEN t.amount_paise ELSE -t.amount_paise END), 0)"
            " FROM billing_ledgertransfer t JOIN billing_ledgeraccount a ON a.id IN (t.debit_id, t.credit_id)"
        )
        assert cursor.fetchone()[0] == 0
    captured = Hold.objects.filter(wallet=wallet, state=Hold.State.CAPTURED).count()
    entries = LedgerTransfer.objects.filter(organisation=bank.organisation, kind="bench_charge")
    assert entries.values("entry_key").distinct().count() >= captured
    found = verification.differences() if is_thorough else {}
    assert found == {}, found


def _do(bank: Bank, step: Step, unique: str) -> None:
    organisation_id, key = bank.organisation.pk, f"{bank.name}:{step.slot}"
    about = Dimensions(organisation_id=organisation_id)
    if step.kind == "hold":
        wallets.hold(
            organisation_id=organisation_id, session_key=key, amount_paise=step.paise, now=NOON,
            minimum_paise=max(1, step.paise // 2), limits=_limits(organisation_id),
        )  # fmt: skip
    elif step.kind == "extend":
        wallets.extend(session_key=key, extra_paise=step.paise, now=NOON)
    elif step.kind == "release":
        wallets.release(session_key=key, now=NOON)
    elif step.kind == "capture":
        wallets.capture(
            organisation_id=organisation_id, session_key=key, entry_key=f"charge-of:{key}", about=about, at=NOON,
            now=NOON, charges=[Charge("revenue:charging", step.slot % 7 * 30 + 20, "bench_charge"),
                               Charge("output_cgst", 3, "bench_charge")],
        )  # fmt: skip
    elif step.kind == "top_up":
        wallets.top_up(organisation_id=organisation_id, amount_paise=step.paise, key=unique, at=NOON)
    elif step.kind == "refund":
        wallets.refund(
            organisation_id=organisation_id, entry_key=f"refund-of:{unique}", refunds=[("revenue:charging", 5)],
            memo="less", about=about, at=NOON,
        )  # fmt: skip
    else:
        _take_back(bank, key)


def _take_back(bank: Bank, key: str) -> None:
    try:
        wallets.take_back(
            organisation_id=bank.organisation.pk, entry_key=f"charge-of:{key}", as_key=f"back:{key}", reason="wrong",
            at=NOON,
        )  # fmt: skip
    except LedgerTransfer.DoesNotExist:
        with bank.lock:
            bank.refused.append(key)


def _limits(organisation_id: int) -> list[Limit]:
    return using.applicable(
        organisation_id=organisation_id, vehicle_id=None, driver_id=None, location_id=None, connector_id=None, at=NOON,
        zone=zone_of("Asia/Kolkata"),
    )  # fmt: skip


__all__ = ["CONNECTIONS", "KINDS", "Step", "check", "open_bank", "random_steps", "refill", "run"]
