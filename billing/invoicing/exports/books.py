"""The general ledger and the trial balance of a month, and the same for ever once it is closed.

A closed month holds the rows that were in the ledger when it was closed; a row that came later, though it is about
that month, is in the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, Sum

from billing.dispute import rupees
from billing.gst.numbering import INDIA
from billing.invoicing.models import AccountingMonth
from billing.models import LedgerAccount, LedgerTransfer
from billing.services.ledger import DEBIT_NORMAL
from fleetcharge.accounts.models import Organisation

HEADER = ("Date", "Recorded", "Entry", "Leg", "Account", "Name", "Debit", "Credit", "Kind", "Memo", "Organisation",
          "Vehicle", "Cost centre", "By")  # fmt: skip
COLUMNS = (
    "occurred_at", "recorded_at", "entry_key", "leg", "debit_id", "credit_id", "amount_paise", "kind", "memo",
    "organisation_id", "vehicle__registration", "cost_centre", "actor",
)  # fmt: skip
OURS = ~Q(debit__code__startswith="electricity:") & ~Q(credit__code__startswith="electricity:")
"""A fleet's own electricity is in the ledger for its reports, but not in our books."""
BALANCE_HEADER = ("Account", "Name", "Kind", "Opening", "Debit", "Credit", "Closing")


@dataclass(frozen=True)
class Balance:
    """On the normal side of the account, in paise; `closing = opening + debit - credit`, or the other way round."""

    account: LedgerAccount
    opening_paise: int
    debit_paise: int
    credit_paise: int

    @property
    def closing_paise(self) -> int:
        moved = self.debit_paise - self.credit_paise
        return self.opening_paise + (moved if self.account.kind in DEBIT_NORMAL else -moved)


def up_to(month: AccountingMonth) -> Q:
    """Rows of this month and all before it."""
    rows = Q(occurred_at__lt=month.ended_at)
    return rows & Q(pk__lte=month.last_transfer_id or 0) if month.is_closed else rows


def opening(month: AccountingMonth) -> Q:
    """Rows of earlier months."""
    earlier = AccountingMonth.objects.filter(starts_on__lt=month.starts_on, closed_at__isnull=False)
    last = earlier.order_by("-starts_on").first()
    return Q(occurred_at__lt=month.started_at) & up_to(month) if last is None else up_to(last)


def transfers(month: AccountingMonth) -> QuerySet[LedgerTransfer]:
    return LedgerTransfer.objects.filter(up_to(month), OURS).exclude(opening(month))


def general_ledger(month: AccountingMonth) -> Iterator[tuple[Any, ...]]:
    """Two rows per transfer, in the order they were recorded; read in pieces, without a model for each row."""
    yield HEADER
    accounts = {row.pk: (row.code, name_of(row)) for row in LedgerAccount.objects.select_related("organisation")}
    fleets = dict(Organisation.objects.values_list("pk", "name"))
    rows = transfers(month).order_by("pk").values_list(*COLUMNS)
    for occurred, recorded, key, leg, debit, credit, paise, kind, memo, fleet, plate, centre, actor in rows.iterator(
        2_000
    ):
        when = (occurred.astimezone(INDIA).date(), recorded.astimezone(INDIA).isoformat(timespec="seconds"), key, leg)
        about = (kind, memo, fleets.get(fleet, ""), plate or "", centre, actor)
        amount = rupees(paise)
        yield (*when, *accounts[debit], amount, "", *about)
        yield (*when, *accounts[credit], "", amount, *about)


def balances(month: AccountingMonth) -> list[Balance]:
    """Every account that ever moved, by code; four queries."""
    before, within = LedgerTransfer.objects.filter(opening(month), OURS), transfers(month)
    opened = {side: _sums(before, side) for side in ("debit", "credit")}
    moved = {side: _sums(within, side) for side in ("debit", "credit")}
    found = []
    for account in LedgerAccount.objects.select_related("organisation").order_by("code"):
        start = opened["debit"].get(account.pk, 0) - opened["credit"].get(account.pk, 0)
        start = start if account.kind in DEBIT_NORMAL else -start
        found.append(
            Balance(account, start, moved["debit"].get(account.pk, 0), moved["credit"].get(account.pk, 0))
        )  # fmt: skip
    return [row for row in found if row.opening_paise or row.debit_paise or row.credit_paise]


def trial_balance(month: AccountingMonth) -> Iterator[tuple[Any, ...]]:
    """The last row holds the sums of both sides, which are equal."""
    yield BALANCE_HEADER
    rows = balances(month)
    for row in rows:
        yield (
            row.account.code, name_of(row.account), row.account.kind,
            *map(rupees, (row.opening_paise, row.debit_paise, row.credit_paise, row.closing_paise)),
        )  # fmt: skip
    yield ("", "Total", "", "", rupees(sum(row.debit_paise for row in rows)),
           rupees(sum(row.credit_paise for row in rows)), "")  # fmt: skip


def name_of(account: LedgerAccount) -> str:
    """Of a fleet's account also whose it is."""
    return f"{account.name}, {account.organisation}" if account.organisation else account.name


def _sums(rows: QuerySet[LedgerTransfer], side: str) -> dict[int, int]:
    return dict(rows.values(side).annotate(paise=Sum("amount_paise")).values_list(side, "paise").order_by())
