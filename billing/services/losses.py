"""Which debts were given up: what is owed is paid, and written off, oldest first; and undone where it is owed no more.

The journal tells it: each debit of a fleet's receivable is a debt, each credit pays, or gives up, the oldest ones.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q

from billing.models import LedgerAccount, LedgerTransfer
from billing.services import ledger
from billing.services.ledger import Dimensions, Leg

LOSS = "writeoff"
WRITE_OFF, SETTLED, REVERSAL = "write_off", "settle_receivable", "reversal"
Lost = dict[str, int]
"""Entry of a write-off -> paise of it."""


class Row(NamedTuple):
    """A transfer from or to a fleet's receivable."""

    pk: int
    is_debit: bool
    paise: int
    kind: str
    entry_key: str
    session_id: int | None = None
    reverses_id: int | None = None
    memo: str = ""


@dataclass
class Debt:
    """What one transfer made the fleet owe, and what became of it."""

    pk: int
    session_id: int | None
    left: int
    paid: int = 0
    lost: Lost = field(default_factory=dict)

    def pay(self, paise: int) -> int:
        self.left, self.paid = self.left - paise, self.paid + paise
        return paise

    def give_up(self, entry_key: str, paise: int) -> None:
        self.left -= paise
        self.lost[entry_key] = self.lost.get(entry_key, 0) + paise

    def regain(self, entry_key: str, at_most: int) -> int:
        """It is no loss any more; how much of it was one."""
        paise = min(at_most, self.lost.get(entry_key, 0))
        self.lost[entry_key] = self.lost.get(entry_key, 0) - paise
        return paise


class Debts:
    """A fleet's debts as they stand after the rows that were told, in their order."""

    def __init__(self) -> None:
        self.all: dict[int, Debt] = {}
        self._open: dict[int, Debt] = {}
        self._surplus = 0

    def tell(self, row: Row, undoes: int | None = None) -> None:
        """`undoes`: the session about whose price a row is that takes a write-off back."""
        if row.is_debit:
            self._owe(row, undoes)
        elif row.kind == WRITE_OFF:
            self._take(row.paise, lambda debt, paise: debt.give_up(row.entry_key, paise))
        elif row.kind == REVERSAL and row.reverses_id in self.all:
            self._reverse(self.all[row.reverses_id])
        else:
            self._pay(row.paise, row.session_id)

    def _owe(self, row: Row, undoes: int | None) -> None:
        if row.kind == WRITE_OFF:
            self._regain(row, undoes)
        elif row.kind == SETTLED:  # what was paid too much has gone back to the wallet
            self._surplus -= row.paise
        else:
            self.all[row.pk] = self._open[row.pk] = Debt(row.pk, row.session_id, row.paise)
            self._pay(0)

    def _pay(self, paise: int, session_id: int | None = None) -> None:
        """What a session costs less pays the session first."""
        own = [debt for debt in self._open.values() if session_id is not None and debt.session_id == session_id]
        for debt in own:
            paise -= debt.pay(min(paise, debt.left))
        self._surplus = self._take(self._surplus + paise, lambda debt, part: debt.pay(part))

    def _take(self, paise: int, use: Callable[[Debt, int], object]) -> int:
        """Oldest first; what is left."""
        while paise > 0 and self._open:
            debt = next(iter(self._open.values()))
            part = min(paise, debt.left)
            use(debt, part)
            paise -= part
            if not debt.left:
                del self._open[debt.pk]
        return paise

    def _reverse(self, debt: Debt) -> None:
        """Never owed: what was paid for it pays other debts; what was lost waits to be undone."""
        self._open.pop(debt.pk, None)
        paid, debt.left, debt.paid = debt.paid, 0, 0
        self._pay(paid)

    def _regain(self, row: Row, undoes: int | None) -> None:
        """Of the session's own debts first."""
        left = row.paise
        for debt in sorted(self.all.values(), key=lambda debt: undoes is None or debt.session_id != undoes):
            left -= debt.regain(row.memo, left)


def undo(
    *, organisation_id: int, key: str, at: datetime, pks: Iterable[int], at_most: int | None = None, source: str = ""
) -> None:
    """What was written off of these debts (debits of the receivable) is no loss after all: nobody paid it, so nobody
    gets it. `at_most`: no more than that. `source`: where the money is by now, unless it is off the receivable already.

    The caller has locked the wallet. Under `key` a reversal or a refund is in the journal.
    """
    code, legs = ledger.receivable_code(organisation_id), list[Leg]()
    debts = _debts_of(organisation_id)
    for entry_key, lost in (item for pk in sorted(pks) if pk in debts for item in debts[pk].lost.items()):
        paise = lost if at_most is None else min(at_most, lost)
        if paise > 0:
            legs += [Leg(source, code, paise, SETTLED)] if source not in {"", code} else []
            legs.append(Leg(code, LOSS, paise, WRITE_OFF, entry_key))
            at_most = None if at_most is None else at_most - paise
    if legs:
        about = Dimensions(organisation_id=organisation_id)
        ledger.post(entry_key=_undone_key(organisation_id, key), legs=legs, occurred_at=at, about=about)


def _debts_of(organisation_id: int) -> dict[int, Debt]:
    """None without a write-off: who has none reads one row."""
    rows = LedgerTransfer.objects.filter(organisation=organisation_id)
    if not rows.filter(debit__code=LOSS).exists():
        return {}
    debts, undone = Debts(), _undone_sessions(organisation_id)
    for row in _what_paid(list(_rows(organisation_id)), undone, _undone_key(organisation_id, "")):
        debts.tell(row, undone.get(row.entry_key))
    return debts.all


def _what_paid(rows: Sequence[Row], undone: Container[str], prefix: str) -> Iterator[Row]:
    """Without the other half of an undoing, which goes off and on again, and without what a refund gave back of a loss
    where there is no wallet: it is on the receivable then, but pays no debt."""
    paid_nothing = Counter[str]()
    for row in rows:
        if row.entry_key in undone:
            paid_nothing[row.entry_key.removeprefix(prefix)] += row.paise if row.is_debit else -row.paise
    for row in rows:
        if row.is_debit or row.kind == REVERSAL:
            yield row
        elif row.entry_key not in undone:
            part = min(row.paise, paid_nothing[row.entry_key])
            paid_nothing[row.entry_key] -= part
            yield row._replace(paise=row.paise - part)


def _rows(organisation_id: int) -> Iterable[Row]:
    """By the account's own two indexes: a join over both sides would read the whole ledger."""
    account = LedgerAccount.objects.get(code=ledger.receivable_code(organisation_id)).pk
    columns = ("pk", "amount_paise", "kind", "entry_key", "session_id", "reverses_id", "memo", "debit_id")
    rows = LedgerTransfer.objects.filter(Q(debit=account) | Q(credit=account)).order_by("pk").values_list(*columns)
    for pk, paise, kind, key, session, reverses, memo, debit in rows:
        yield Row(pk, debit == account, paise, kind, key, session, reverses, memo)


def _undone_sessions(organisation_id: int) -> dict[str, int | None]:
    """Entry of an undoing -> the session whose reversal or refund it follows."""
    prefix = _undone_key(organisation_id, "")
    keys = LedgerTransfer.objects.filter(credit__code=LOSS, entry_key__startswith=prefix).values_list(
        "entry_key", flat=True
    )
    causes = {key.removeprefix(prefix): key for key in keys}
    sessions = LedgerTransfer.objects.filter(entry_key__in=causes).values_list("entry_key", "session_id")
    return dict.fromkeys(causes.values()) | {causes[key]: session for key, session in sessions}


def _undone_key(organisation_id: int, key: str) -> str:
    return f"write-off-undone:{organisation_id}:{key}"
