"""The documents of some fleets for one month: one part of a close, in a process of its own where there are many."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from billing.invoicing.models import AccountingMonth, TaxDocument
from billing.invoicing.services import drafting, issuing, notes
from billing.invoicing.services.issuing import Order
from billing.invoicing.services.rules import Rules
from fleetcharge.accounts.models import Organisation

AT_ONCE = 2_500
"""Sessions in one transaction: few enough that nobody waits long for a number, enough to ask for many at once."""
MOST_FLEETS = 12


def dated_on(month: AccountingMonth) -> date:
    """Its last day, so that 31 March stays in its financial year whenever it is closed."""
    return month.ends_before - timedelta(days=1)


def parts(sessions: Mapping[int, int]) -> Iterator[list[int]]:
    """Fleets (id -> sessions that wait) in portions of about the same work, in their order."""
    portion, weight = list[int](), 0
    for organisation_id, count in sessions.items():
        if portion and (weight + count > AT_ONCE or len(portion) >= MOST_FLEETS):
            yield portion
            portion, weight = [], 0
        portion.append(organisation_id)
        weight += count
    if portion:
        yield portion


def issue(month_id: int, organisation_ids: Sequence[int], at: datetime, actor: str) -> int:
    """Notes about corrections, then invoices; returns how many documents."""
    month = AccountingMonth.objects.get(pk=month_id)
    fleets = list(Organisation.objects.filter(pk__in=organisation_ids).order_by("pk"))
    on = dated_on(month)
    made = len(notes.issue_for_corrections(fleets, month=month, on=on, at=at, actor=actor))
    drafts = drafting.drafts_of(fleets, before=month.ended_at, rules=Rules(on))
    orders = [Order(draft, TaxDocument.Kind.INVOICE, on, _key(month, draft), month) for draft in drafts]
    return made + sum(len(issuing.issue_together(orders=some, at=at, actor=actor)) for some in _by_size(orders))


def _by_size(orders: Iterable[Order]) -> Iterator[list[Order]]:
    portion, weight = list[Order](), 0
    for order in orders:
        if portion and weight + len(order.draft.items) > AT_ONCE:
            yield portion
            portion, weight = [], 0
        portion.append(order)
        weight += len(order.draft.items)
    if portion:
        yield portion


def _key(month: AccountingMonth, draft: drafting.Draft) -> str:
    """Names the sessions, as an interrupted close may go on with more of them."""
    recipient = draft.recipient.pk if draft.recipient else 0
    items = f"{draft.items[0].cdr_id}-{draft.items[-1].cdr_id}" if draft.items else f"fee-{draft.fees[0].fee.pk}"
    return f"invoice:{month.starts_on:%Y-%m}:{draft.organisation.pk}:{draft.supplier.pk}:{recipient}:{items}"
