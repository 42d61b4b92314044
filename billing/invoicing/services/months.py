"""The close of a month: vouchers, invoices, notes, the proof, the lock. May be run again after it was interrupted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from billing.events import MonthClosed
from billing.invoicing.models import AccountingMonth, BilledItem, TaxDocument
from billing.invoicing.services import advances, checklist, collecting, figures, issuing, notes, parties
from billing.invoicing.services.checklist import MUST, SHOULD, Check
from billing.invoicing.services.rules import Rules
from billing.models import CDRAdjustment
from billing.prices.services import fees
from billing.prices.services.invoicing import organisations_waiting
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.events import publish

logger = logging.getLogger(__name__)
LOCK = 0x6D6F6E7468  # "month"


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


def close(*, day: date, now: datetime, actor: User | None = None, reason: str = "", actor_label: str = "") -> Closed:
    """Issue everything and lock the month that `day` is in. With a reason, over what only should be done first.

    Raises NotReady, or Conflict when it is closed already or somebody else is at it. Each document is a transaction
    of its own: what was issued before an interruption stays, the next run goes on behind it.
    """
    with _alone():
        month = month_of(day)
        if month.is_closed:
            raise Conflict(f"{month} is closed already.", code="closed")
        for organisation in Organisation.objects.all():
            parties.take_over_settings(organisation)
        checks = checklist.run(month, now=now)
        against = [check for check in checks if not check.is_fine and check.weight in _weights(reason)]
        if against:
            raise NotReady(against)
        who = actor_label or (str(actor) if actor else "system")
        count = _issue_all(month, now, who)
        _lock(month, checks, now, actor, who, reason)
    return Closed(month, count, checks)


def drafts(*, day: date, organisation: Organisation) -> list[issuing.Draft]:
    """What the month's close would invoice to this fleet now; nothing is stored."""
    month = AccountingMonth(starts_on=day.replace(day=1))
    return issuing.drafts_for(organisation, before=month.ended_at, rules=Rules(_dated_on(month)))


def _weights(reason: str) -> set[str]:
    return {MUST} if reason.strip() else {MUST, SHOULD}


def _dated_on(month: AccountingMonth) -> date:
    """Its last day, so that 31 March stays in its financial year whenever it is closed."""
    return month.ends_before - timedelta(days=1)


def _issue_all(month: AccountingMonth, now: datetime, who: str) -> int:
    """Receipt vouchers first: invoices use up the advances."""
    made = 0
    fees.charge_due(now=now)
    for transfer in advances.without_voucher(before=month.ended_at):
        made += advances.confirm(transfer=transfer, at=now, actor=who) is not None
    on, rules = _dated_on(month), Rules(_dated_on(month))
    for organisation in with_something(month):
        made += len(notes.issue_for_corrections(organisation, month=month, on=on, at=now, actor=who))
        for draft in issuing.drafts_for(organisation, before=month.ended_at, rules=rules):
            issuing.issue(
                draft=draft, kind=TaxDocument.Kind.INVOICE, on=on, at=now, month=month, actor=who,
                request_key=_key(month, draft),
            )  # fmt: skip
            made += 1
    return made


def _key(month: AccountingMonth, draft: issuing.Draft) -> str:
    """Names the sessions, as an interrupted close may go on with more of them."""
    recipient = draft.recipient.pk if draft.recipient else 0
    items = f"{draft.items[0].cdr.pk}-{draft.items[-1].cdr.pk}" if draft.items else f"fee-{draft.fees[0].fee.pk}"
    return f"invoice:{month.starts_on:%Y-%m}:{draft.organisation.pk}:{draft.supplier.pk}:{recipient}:{items}"


def with_something(month: AccountingMonth) -> list[Organisation]:
    """The fleets that the close may have a document for."""
    waiting = collecting.unbilled(before=month.ended_at).order_by().values_list("organisation", flat=True).distinct()
    billed = BilledItem.objects.filter(cdr=OuterRef("cdr"), adjustment=None)
    late = CDRAdjustment.objects.filter(Exists(billed), billed_item=None).values_list("cdr__organisation", flat=True)
    subscribed = organisations_waiting(before=month.ends_before)
    return list(Organisation.objects.filter(pk__in={*waiting, *late, *subscribed}).order_by("pk"))


@transaction.atomic
def _lock(
    month: AccountingMonth, checks: list[Check], now: datetime, actor: User | None, who: str, reason: str
) -> None:
    """The ledger's last row is read while nobody writes, so that no earlier number can appear behind it."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE billing_ledgertransfer IN SHARE MODE")
        cursor.execute("SELECT max(id) FROM billing_ledgertransfer")
        month.last_transfer_id = cursor.fetchone()[0]
    month.figures = summary(month)
    month.closed_at, month.closed_by, month.accepted_because = now, who[:120], reason
    month.checklist = [check.as_dict() for check in checks]
    month.save()
    audit(action="close", target=month, actor=actor, actor_label=who, reason=reason, after=month.figures)
    publish(MonthClosed(month.starts_on.isoformat(), now))


def summary(month: AccountingMonth) -> dict[str, Any]:
    """Documents of the month by kind, where the charged money stands, and what nobody can explain: zero."""
    return {
        "documents": {
            **figures.documents(month=month),
            **figures.documents(
                month=None, dated_on__gte=month.starts_on, dated_on__lt=month.ends_before
            ),
        },
        **figures.charged_and_explained(before=month.ended_at),
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
