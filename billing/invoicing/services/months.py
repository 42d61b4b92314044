"""The close of a month: vouchers, invoices, notes, the proof, the lock. May be run again after it was interrupted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef

from billing.events import MonthClosed
from billing.invoicing.models import AccountingMonth, BilledItem
from billing.invoicing.services import (
    advances,
    boundary,
    checklist,
    collecting,
    drafting,
    figures,
    fleets,
    parties,
)
from billing.invoicing.services.checklist import MUST, SHOULD, Check
from billing.invoicing.services.rules import Rules
from billing.models import CDRAdjustment
from billing.prices.services import fees
from billing.prices.services.invoicing import organisations_waiting
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish
from fleetcharge.lib.processes import run_together
from fleetcharge.lib.sequences import batched

logger = logging.getLogger(__name__)
LOCK = 0x6D6F6E7468  # "month"
VOUCHERS_AT_ONCE = 100
FEW = 6
"""Portions of fleets that are not worth the seconds which processes take to begin."""


@dataclass(frozen=True)
class Closed:
    month: AccountingMonth
    documents: int
    checks: list[Check]


class NotReady(Conflict):
    """What stands against closing; `checks` are the lines that failed."""

    def __init__(self, checks: list[Check]) -> None:
        super().__init__("; ".join(f"{check.title}: {check.count}" for check in checks), code="not_ready")
        self.checks = checks


def month_of(day: date) -> AccountingMonth:
    """The row of that day's month, made when it is not there yet."""
    return AccountingMonth.objects.get_or_create(starts_on=day.replace(day=1))[0]


def close(
    *,
    day: date,
    now: datetime,
    actor: User | None = None,
    reason: str = "",
    actor_label: str = "",
    processes: int = 1,
) -> Closed:
    """Issue everything and lock the month that `day` is in. With a reason, over what only should be done first.

    Raises NotReady, or Conflict when it is closed already or somebody else is at it. The documents of a few fleets are
    a transaction of their own: what was issued before an interruption stays, the next run goes on behind it. More than
    one process only outside any transaction.
    """
    with _alone():
        month = month_of(day)
        if month.is_closed:
            raise Conflict(f"{month} is closed already.", code="closed")
        parties.take_over_all()
        checks = checklist.run(month, now=now)
        against = [check for check in checks if not check.is_fine and check.weight in _weights(reason)]
        if against:
            raise NotReady(against)
        who = actor_label or (str(actor) if actor else "system")
        begun = figures.begin(before=month.ended_at, now=now)
        count = _issue_all(month, now, who, processes)
        _lock(month, checks, now, actor, who, reason, begun)
    return Closed(month, count, checks)


def drafts(*, day: date, organisation: Organisation) -> list[drafting.Draft]:
    """What the month's close would invoice to this fleet now; nothing is stored."""
    month = AccountingMonth(starts_on=day.replace(day=1))
    return drafting.drafts_for(organisation, before=month.ended_at, rules=Rules(fleets.dated_on(month)))


def _weights(reason: str) -> set[str]:
    return {MUST} if reason.strip() else {MUST, SHOULD}


def _issue_all(month: AccountingMonth, now: datetime, who: str, processes: int) -> int:
    """Receipt vouchers first: invoices use up the advances."""
    fees.charge_due(now=now)
    made = _confirm_advances(month, now, who)
    portions = [(month.pk, ids, now, who) for ids in fleets.parts(_waiting(month))]
    if processes == 1 or len(portions) <= FEW:
        return made + sum(fleets.issue(*portion) for portion in portions)
    work = f"{fleets.__name__}:{fleets.issue.__name__}"
    issued: list[int] = run_together(work, portions, processes=processes)
    return made + sum(issued)


def _confirm_advances(month: AccountingMonth, now: datetime, who: str) -> int:
    """Oldest first over all fleets: numbers of a series never go back in time."""
    transfers = list(advances.without_voucher(before=month.ended_at))
    return sum(
        len(advances.confirm_together(transfers=some, at=now, actor=who))
        for some in batched(transfers, VOUCHERS_AT_ONCE)
    )


def _waiting(month: AccountingMonth) -> dict[int, int]:
    """Fleet -> sessions of it that wait for a document; 0 where only something else does."""
    waiting = collecting.unbilled(before=month.ended_at).order_by().values_list("organisation")
    counted: dict[int, int] = dict(waiting.annotate(Count("pk")))
    return {pk: counted.get(pk, 0) for pk in sorted({*counted, *_with_something_else(month)})}


def with_something(month: AccountingMonth) -> list[Organisation]:
    """The fleets that the close may have a document for."""
    return list(Organisation.objects.filter(pk__in=_waiting(month)).order_by("pk"))


def _with_something_else(month: AccountingMonth) -> set[int]:
    """Corrections of what is billed, fees of subscriptions."""
    billed = BilledItem.objects.filter(cdr=OuterRef("cdr"), adjustment=None)
    late = CDRAdjustment.objects.filter(Exists(billed), billed_item=None).values_list("cdr__organisation", flat=True)
    return {*late.order_by(), *organisations_waiting(before=month.ends_before)}


@transaction.atomic
def _lock(
    month: AccountingMonth,
    checks: list[Check],
    now: datetime,
    actor: User | None,
    who: str,
    reason: str,
    begun: figures.Begun,
) -> None:
    """Charging goes on meanwhile: each sum is one statement, so that a charge is in all of it or in nothing of it."""
    boundary.keep_documents_out()
    month.last_transfer_id = boundary.last_transfer()
    month.figures = summary(month, begun)
    month.closed_at, month.closed_by, month.accepted_because = now, who[:120], reason
    month.checklist = [check.as_dict() for check in checks]
    month.save()
    audit(action="close", target=month, actor=actor, actor_label=who, reason=reason, after=month.figures)
    publish(MonthClosed(month.starts_on.isoformat(), now))


def summary(month: AccountingMonth, begun: figures.Begun | None = None) -> dict[str, Any]:
    """Documents of the month by kind, where the charged money stands, and what nobody can explain: zero."""
    return {
        "documents": figures.documents(month),
        **figures.charged_and_explained(before=month.ended_at, begun=begun),
        "unexplained_tax_paise": figures.unexplained_tax(),
    }  # fmt: skip


@contextmanager
def _alone() -> Iterator[None]:
    """One close at a time, across processes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise Conflict("Somebody else is closing a month.", code="busy")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
