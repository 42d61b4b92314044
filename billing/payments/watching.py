"""What a person of the platform must look at between gateway, bank and books: asked once, closed when it is settled."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django.db.models import Exists, F, Max, Min, OuterRef, QuerySet, Sum, Value
from django.db.models.functions import Concat, Lower

from billing.approvals import top_ups
from billing.approvals.models import Approval
from billing.models import BankLine, BillingException, GatewayEvent, GatewayPayment, Settlement, SettlementRow
from billing.payments import mending, rules
from billing.services.exceptions import WITHDRAWN, open_exception
from fleetcharge.lib.money import format_inr

SILENT_AFTER = timedelta(hours=24)  # by then Razorpay has switched a webhook off that nobody acknowledged
KNOWN_BY_NOW = timedelta(hours=1)
LATE_WITHIN = timedelta(days=60)
TOLD_AFTER = timedelta(days=3)  # by then both the payout's report and the bank's statement are there
MOST = 200
KIND, PREFIX = BillingException.Kind.PAYMENT_ODD, "gateway:"
IN_SUSPENSE = f"{PREFIX}suspense:"
Outcome, State = SettlementRow.Outcome, Settlement.State
ODD_ROWS = {
    Outcome.UNKNOWN: "settles what is in no wallet", Outcome.DIFFERS: "settles another amount than we booked",
    Outcome.MISSING: "has not settled a payment",
}  # fmt: skip


@dataclass(frozen=True)
class Doubt:
    reference: str
    title: str
    amount_paise: int = 0


def look(*, now: datetime) -> int:
    """Ask what is open, close what is not any more; returns how many doubts there are now."""
    doubts = [
        *_rows(), *_payouts(), *_late_rows(now), *_in_suspense(), *_credits(now), *_top_ups(), *_dead(), *_silence(now),
    ]  # fmt: skip
    for doubt in doubts:
        open_exception(
            organisation_id=None, kind=KIND, reference=doubt.reference, title=doubt.title,
            amount_paise=doubt.amount_paise, at=now,
        )  # fmt: skip
    asked = BillingException.objects.open().filter(organisation=None, kind=KIND, reference__startswith=PREFIX)
    settled = asked.exclude(reference__in=[doubt.reference for doubt in doubts])
    settled.update(resolved_at=now, resolution=WITHDRAWN)
    return len(doubts)


def _rows() -> Iterator[Doubt]:
    for row in SettlementRow.objects.filter(outcome__in=ODD_ROWS).order_by("pk")[:MOST]:
        title = f"The gateway {ODD_ROWS[Outcome(row.outcome)]}: {row.kind} {row.entity_id}"
        yield Doubt(f"{PREFIX}row:{row.kind}:{row.entity_id}", title, row.difference_paise or row.amount_paise)


def _payouts() -> Iterator[Doubt]:
    for payout in Settlement.objects.filter(state__in=[State.DIFFERS, State.MISSING]).order_by("pk")[:MOST]:
        where = "has another amount in the bank" if payout.state == State.DIFFERS else "is not in the bank"
        title = f"Settlement {payout.settlement_id} of {format_inr(payout.amount_paise)} {where}"
        yield Doubt(f"{PREFIX}payout:{payout.settlement_id}", title, payout.amount_paise)


def _late_rows(now: datetime) -> Iterator[Doubt]:
    """The gateway named more of a payout after it was booked: what came later is in no entry."""
    recent = Settlement.objects.filter(posted_at__isnull=False, settled_at__gte=now - LATE_WITHIN)
    net = recent.annotate(net=Sum("rows__credit_paise") - Sum("rows__debit_paise")).exclude(net=F("amount_paise"))
    for payout in net.order_by("pk")[:MOST]:
        title = f"Settlement {payout.settlement_id} got more rows after it was booked"
        yield Doubt(f"{PREFIX}late:{payout.settlement_id}", title, payout.net - payout.amount_paise)


def _in_suspense() -> Iterator[Doubt]:
    """Booked before its rows said what of them is in suspense, and known since: it is there for nothing."""
    for each in mending.unexplained(limit=MOST):
        title = f"Settlement {each.settlement_id} has {format_inr(each.paise)} in suspense that no row of it explains"
        yield Doubt(f"{IN_SUSPENSE}{each.settlement_id}", title, abs(each.paise))


def _credits(now: datetime) -> Iterator[Doubt]:
    """Money in our bank that no payout of the gateway and no top-up by hand is about."""
    told = rules.day_of(now) - TOLD_AFTER
    lines = _lines().filter(settlement=None, amount_paise__gt=0, booked_on__lte=told)
    known = _by_hand().filter(of=OuterRef("of"))
    for line in lines.exclude(Exists(known)).exclude(_is_decided("bank:", "reference")).order_by("-booked_on")[:MOST]:
        title = f"{format_inr(line.amount_paise)} came to our bank, and nothing says what for: {line.reference}"
        yield Doubt(f"{PREFIX}bank:{line.reference}", title, line.amount_paise)


def _top_ups() -> Iterator[Doubt]:
    """Entered by hand, and not on our statement, or with another amount there: once the statements go beyond it."""
    days = BankLine.objects.aggregate(first=Min("booked_on"), last=Max("booked_on"))
    if days["last"] is None:
        return
    since, until = (datetime.combine(day, time.min, rules.INDIA) for day in (days["first"], days["last"] - TOLD_AFTER))
    same = _lines().filter(of=OuterRef("of"), amount_paise=OuterRef("amount_paise"))
    wishes = _by_hand().filter(decided_at__gte=since, decided_at__lt=until).exclude(Exists(same))
    for wish in wishes.exclude(_is_decided("by-hand:", "subject")).order_by("-pk")[:MOST]:
        title = f"{wish.title}: entered by hand, and not so in our bank"
        yield Doubt(f"{PREFIX}by-hand:{wish.subject}", title, wish.amount_paise)


def _lines() -> QuerySet[Any]:
    return BankLine.objects.annotate(of=Lower(Concat(Value(top_ups.SUBJECT), "reference")))


def _by_hand() -> QuerySet[Any]:
    done = Approval.objects.filter(kind=top_ups.KIND, state__in=[Approval.State.APPROVED, Approval.State.FREE])
    return done.annotate(of=Lower("subject"))


def _is_decided(what: str, field: str) -> Exists:
    """A person has answered it: what is in our bank for another reason is not asked about again."""
    answered = BillingException.objects.filter(organisation=None, kind=KIND, resolved_at__isnull=False)
    asked = Concat(Value(f"{PREFIX}{what}"), OuterRef(field))
    return Exists(answered.exclude(resolution=WITHDRAWN).filter(reference=asked))


def _dead() -> Iterator[Doubt]:
    dead = GatewayEvent.objects.filter(state=GatewayEvent.State.DEAD)
    if count := dead.count():
        yield Doubt(f"{PREFIX}dead", f"{count} webhooks of the gateway could not be handled")


def _silence(now: datetime) -> Iterator[Doubt]:
    """Payments of the last day are known, but by polling alone: the webhook is off, or its secret is wrong."""
    since = now - SILENT_AFTER
    taken = GatewayPayment.objects.filter(credited_at__gte=since, credited_at__lt=now - KNOWN_BY_NOW)
    if taken.exists() and not GatewayEvent.objects.filter(received_at__gte=since).exists():
        yield Doubt(f"{PREFIX}silent", "Payments come, and no webhook tells of them: switch it on again at the gateway")
