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
from billing.services import holds, ledger, verification, wallets
from billing.services.ledger import Dimensions
from billing.services.wallets import Charge
from billing.tests import interleaved_sessions as real
from billing.tests.factories import NOON, fund, limit
from billing.tests.interleaved_sessions import BARE, NETWORK, OWN, Plugs, Session
from fleetcharge.accounts.models import Organisation

CONNECTIONS = 8
SPENT_BEFORE = 5_000  # so that no refund, which may come before its charge here, finds nothing spent
KINDS = ("hold", "extend", "capture", "release", "top_up", "refund", "take_back", "late")
KINDS_OF_SESSIONS = (BARE, OWN, NETWORK)


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
    plugs: Plugs
    sessions: dict[str, Session] = field(default_factory=dict)
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    rounds: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def open_bank() -> Bank:
    organisation = Organisation.objects.create(name="Any order", slug=f"any-{uuid.uuid4().hex[:12]}")
    fund(organisation, SPENT_BEFORE + 400, credit_limit_paise=100)
    limit(organisation, amount_paise=SPENT_BEFORE + 600, energy_wh=30_000)
    limit(organisation, period="month", amount_paise=SPENT_BEFORE + 900, is_hard=False)
    bank = Bank(organisation, real.make_plugs(organisation))
    before = real.make_session(organisation, bank.plugs, f"{bank.name}:before", BARE, 0)
    wallets.capture(
        organisation_id=organisation.pk, session_key="none", entry_key=f"before:{bank.name}", at=NOON, now=NOON,
        charges=[Charge("revenue:charging", SPENT_BEFORE, "bench_charge")],
        about=Dimensions(organisation_id=organisation.pk, session_id=before.pk),
    )  # fmt: skip
    return bank


def _open(bank: Bank, slot: int) -> None:
    """The session behind a slot."""
    name = f"{bank.name}:{slot}"
    if name not in bank.sessions:
        kind = KINDS_OF_SESSIONS[slot % len(KINDS_OF_SESSIONS)]
        bank.sessions[name] = real.make_session(bank.organisation, bank.plugs, name, kind, 1_000 + 50 * slot)


def refill(bank: Bank) -> None:
    """Fresh sessions, an open wallet with money, and room in the limits, so that a round is not all refusals."""
    Wallet.objects.filter(organisation=bank.organisation).update(state=Wallet.State.ACTIVE)
    fund(bank.organisation, 1_500)
    for usage in LimitUsage.objects.filter(limit__organisation=bank.organisation).select_related("limit"):
        usage.limit.amount_paise = usage.reserved_paise + usage.spent_paise + 600
        if usage.limit.energy_wh is not None:
            usage.limit.energy_wh = usage.reserved_wh + usage.spent_wh + 30_000
        usage.limit.save(update_fields=["amount_paise", "energy_wh"])


def random_steps(seed: int, count: int, slots: int) -> list[Step]:
    rng = random.Random(seed)
    weights = (5, 3, 5, 2, 3, 1, 1, 1)
    return [Step(rng.choices(KINDS, weights)[0], rng.randrange(slots), rng.randrange(1, 160)) for _ in range(count)]


def run(bank: Bank, lanes: Sequence[Sequence[Step]]) -> None:
    """Every lane on a connection of its own, all at once; any error but a refusal is raised."""
    gate = threading.Barrier(len(lanes))
    bank.rounds += 1
    for slot in sorted({step.slot for lane in lanes for step in lane}):
        _open(bank, slot)

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
    """No overdraft, sums zero, projection = journal, holds = held, limits = holds and charges, a charge at most once.

    After the sweep that gives back what was held for a session when it had been charged already. `is_thorough`: with
    every check of `verify_ledger`, over everybody's rows.
    """
    holds.release_settled(now=NOON)
    wallet = Wallet.objects.get(organisation=bank.organisation)
    assert wallet.posted_paise - wallet.held_paise + wallet.credit_limit_paise >= 0
    assert wallet.posted_paise == ledger.balance_paise(wallet.account.code)
    active = Hold.objects.filter(wallet=wallet, state=Hold.State.ACTIVE)
    held = active.aggregate(paise=Sum("amount_paise", default=0), wh=Sum("energy_wh", default=0))
    assert wallet.held_paise == held["paise"]
    charged, drawn_wh = _charged(bank), real.drawn_wh(bank.organisation)
    for usage in LimitUsage.objects.filter(limit__organisation=bank.organisation):
        assert (usage.reserved_paise, usage.spent_paise) == (wallet.held_paise, charged), usage.pk
        assert (usage.reserved_wh, usage.spent_wh) == (held["wh"], drawn_wh), usage.pk
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
    entries = LedgerTransfer.objects.filter(organisation=bank.organisation, kind__in=("bench_charge", "charge"))
    assert entries.values("entry_key").distinct().count() >= captured
    found = verification.differences() if is_thorough else {}
    assert found == {}, found


def _charged(bank: Bank) -> int:
    """What all sessions cost by the journal: what left the wallet, or is owed, less what came back."""
    mine = [ledger.wallet_code(bank.organisation.pk), ledger.receivable_code(bank.organisation.pk)]
    rows = LedgerTransfer.objects.filter(organisation=bank.organisation, session__isnull=False)
    out = rows.filter(debit__code__in=mine).aggregate(paise=Sum("amount_paise", default=0))["paise"]
    return int(out - rows.filter(credit__code__in=mine).aggregate(paise=Sum("amount_paise", default=0))["paise"])


def _do(bank: Bank, step: Step, unique: str) -> None:
    organisation_id, session = bank.organisation.pk, bank.sessions[f"{bank.name}:{step.slot}"]
    key = wallets.hold_key(session.pk)
    about = Dimensions(organisation_id=organisation_id, session_id=session.pk)
    if step.kind == "hold":
        wallets.hold(
            organisation_id=organisation_id, session_key=key, amount_paise=step.paise, now=NOON,
            minimum_paise=max(1, step.paise // 2), limits=_limits(organisation_id), energy_wh=step.paise * 10,
        )  # fmt: skip
    elif step.kind == "extend":
        wallets.extend(session_key=key, extra_paise=step.paise, now=NOON, extra_wh=step.paise * 10)
    elif step.kind == "release":
        wallets.release(session_key=key, now=NOON)
    elif step.kind == "capture":
        _capture(bank, session, step, about)
    elif step.kind == "top_up" or (step.kind == "late" and session.kind == BARE):
        wallets.top_up(organisation_id=organisation_id, amount_paise=step.paise, key=unique, at=NOON)
    elif step.kind == "late":
        real.hear_late(session, 1_000 + 10 * step.paise)
    elif step.kind == "refund":
        wallets.refund(
            organisation_id=organisation_id, entry_key=f"refund-of:{unique}", refunds=[("revenue:charging", 5)],
            memo="less", about=about, at=NOON,
        )  # fmt: skip
    elif session.kind == NETWORK:
        real.credit(session)
    elif session.kind == BARE:
        _take_back(bank, key)


def _capture(bank: Bank, session: Session, step: Step, about: Dimensions) -> None:
    if session.kind != BARE:
        mine = [each for name, each in bank.sessions.items() if name.startswith(f"{bank.name}:")]
        real.charge(session, mine, is_together=step.paise % 3 == 0)
        return
    key = wallets.hold_key(session.pk)
    wallets.capture(
        organisation_id=bank.organisation.pk, session_key=key, entry_key=f"charge-of:{key}", about=about, at=NOON,
        now=NOON, charges=[Charge("revenue:charging", step.slot % 7 * 30 + 20, "bench_charge"),
                           Charge("output_cgst", 3, "bench_charge")],
    )  # fmt: skip


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
