"""Many priced sessions into the books at once: prices, holds, limits, wallets and journal, or none of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.utils import timezone

from billing.charging import sql
from billing.events import WalletChanged
from billing.models import CDR
from billing.services import ledger
from billing.services.capturing import Charge
from billing.services.holding import hold_key
from billing.services.ledger import Dimensions, Leg
from billing.services.rating import captured_event, charges_of, dimensions_of


class Unpayable(Exception):
    """A wallet cannot pay all that it was asked for: each session has to be charged by itself."""


class Held(NamedTuple):
    """The active hold of a session, and the usages of limits that it stands on."""

    session_key: str
    id: int
    wallet_id: int
    amount_paise: int
    energy_wh: int
    usages: list[int]


@dataclass(frozen=True)
class Due:
    """One session's charge."""

    cdr: CDR
    charges: Sequence[Charge]
    about: Dimensions

    @property
    def entry_key(self) -> str:
        return f"charge:{self.cdr.session_id}"

    @property
    def total_paise(self) -> int:
        return self.cdr.total_paise or 0


def payable(cdrs: Sequence[CDR]) -> list[Due]:
    """The charges of those that nobody charged before and whose wallet bears the whole batch. Nothing is locked yet."""
    dues = [Due(cdr, charges_of(cdr), dimensions_of(cdr.session)) for cdr in cdrs]
    known = {entry for (entry,) in _rows(sql.KNOWN, {"entries": [due.entry_key for due in dues]})}
    dues = [due for due in dues if due.entry_key not in known]
    spendable = dict(_rows(sql.SPENDABLE, {"keys": _keys(dues), "organisations": _fleets(dues)}))
    asked = _sums((due.cdr.organisation_id, due.total_paise) for due in dues)
    return [due for due in dues if asked[due.cdr.organisation_id] <= spendable.get(due.cdr.organisation_id, -1)]


def post(dues: Sequence[Due], now: datetime) -> tuple[list[Due], list[object]]:
    """Charge them; which of them, and what there is to tell.

    Left out are those whose limits no hold has reserved. Raises Unpayable when a wallet has become too small.
    """
    held = {each.session_key: each for each in starmap(Held, _rows(sql.HOLDS, {"keys": _keys(dues)}))}
    limited = {fleet for (fleet,) in _rows(sql.LIMITED, {"organisations": _fleets(dues)})}
    dues = [due for due in dues if _is_counted(due, held, limited)]
    if not dues:
        return [], []
    _write_prices([due.cdr for due in dues], now)
    holds = {due.entry_key: held[key] for due in dues if (key := hold_key(due.cdr.session_id)) in held}
    if usages := sorted({usage for hold in holds.values() for usage in hold.usages}):
        _rows(sql.USAGES, {"usages": usages})
    accounts = _lock_wallets(dues, holds.values())
    _run(sql.CLOSE, {"now": now, "holds": [hold.id for hold in holds.values()]})
    _move_limits(dues, holds)
    wallets = _free(dues, holds.values(), accounts)
    _write_legs(dues, accounts)
    return dues, [*wallets, *(captured_event(due.cdr) for due in dues)]


def _is_counted(due: Due, held: dict[str, Held], limited: Collection[int]) -> bool:
    """Its limits are those of its hold; of a fleet without limits there are none."""
    hold = held.get(hold_key(due.cdr.session_id))
    return due.cdr.organisation_id not in limited or (hold is not None and bool(hold.usages))


def _write_prices(cdrs: Sequence[CDR], now: datetime) -> None:
    for cdr in cdrs:
        cdr.captured_at = now
    values: dict[str, Any] = {
        "ids": [cdr.pk for cdr in cdrs], "tariffs": [cdr.tariff_id for cdr in cdrs],
        "rates": [cdr.negotiated_rate_id for cdr in cdrs], "taxable": [cdr.taxable_paise for cdr in cdrs],
        "cgst": [cdr.cgst_paise for cdr in cdrs], "sgst": [cdr.sgst_paise for cdr in cdrs],
        "igst": [cdr.igst_paise for cdr in cdrs],
        "explanations": [orjson.dumps(cdr.explanation).decode() for cdr in cdrs], "now": now,
    }  # fmt: skip
    _run(sql.PRICE, values)


def _lock_wallets(dues: Sequence[Due], holds: Iterable[Held]) -> dict[int, int]:
    """The accounts of the wallets, by fleet; nobody else spends from them before the commit."""
    rows = _rows(sql.WALLETS, {"organisations": _fleets(dues)})
    freed = _sums((hold.wallet_id, hold.amount_paise) for hold in holds)
    asked = _sums((due.cdr.organisation_id, due.total_paise) for due in dues)
    spendable = {fleet: left + freed[account] for fleet, account, left in rows}
    accounts = {fleet: account for fleet, account, _ in rows}
    if any(spendable.get(fleet, -1) < paise for fleet, paise in asked.items()) or freed.keys() - set(accounts.values()):
        raise Unpayable
    return accounts


def _move_limits(dues: Sequence[Due], holds: dict[str, Held]) -> None:
    """Out of reserved into spent, once for each usage."""
    moves: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for due in dues:
        if (hold := holds.get(due.entry_key)) is None:
            continue
        for usage in hold.usages:
            for index, amount in enumerate((hold.amount_paise, hold.energy_wh, due.total_paise, due.cdr.energy_wh)):
                moves[usage][index] += amount
    if moves:
        columns = zip(*moves.values(), strict=True)
        names = ("out_paise", "out_wh", "in_paise", "in_wh")
        _run(sql.MOVED, {"usages": list(moves), **dict(zip(names, map(list, columns), strict=True))})


def _free(dues: Sequence[Due], holds: Iterable[Held], accounts: dict[int, int]) -> list[WalletChanged]:
    freed = _sums((hold.wallet_id, hold.amount_paise) for hold in holds)
    asked = _sums((accounts[due.cdr.organisation_id], due.total_paise) for due in dues)
    values = {
        "accounts": list(asked), "freed": [freed[account] for account in asked], "totals": list(asked.values()),
    }  # fmt: skip
    return [WalletChanged(*row) for row in _rows(sql.FREE, values)]


def _write_legs(dues: Sequence[Due], accounts: dict[int, int]) -> None:
    legs = [(due, number, charge) for due in dues for number, charge in enumerate(due.charges, start=1)]
    if not legs:
        return
    of_currency: dict[str, set[str]] = defaultdict(set)
    for due, _, charge in legs:
        of_currency[due.cdr.currency].add(charge.account)
    credits = {
        (currency, code): account.pk
        for currency, codes in of_currency.items()
        for code, account in ledger.accounts_for(codes, currency=currency).items()
    }
    hashes = {due.entry_key: _hash(due) for due in dues}
    rows = [
        (
            due.entry_key, number, accounts[due.cdr.organisation_id], credits[due.cdr.currency, charge.account],
            charge.amount_paise, due.cdr.currency, charge.kind, charge.memo, due.cdr.organisation_id,
            due.about.session_id, due.about.vehicle_id, due.about.driver_ref, due.about.location_id,
            due.about.cost_centre, hashes[due.entry_key], due.cdr.ended_at,
        )
        for due, number, charge in legs
    ]  # fmt: skip
    names = (
        "entry", "leg", "debit", "credit", "paise", "currency", "kind", "memo", "organisation", "session", "vehicle",
        "driver", "location", "centre", "hash", "at",
    )  # fmt: skip
    columns = map(list, zip(*rows, strict=True))
    _run(sql.LEGS, {"recorded": timezone.now(), **dict(zip(names, columns, strict=True))})


def _hash(due: Due) -> str:
    """As it would be, had it been posted alone."""
    wallet = ledger.wallet_code(due.cdr.organisation_id)
    legs = [Leg(wallet, charge.account, charge.amount_paise, charge.kind, charge.memo) for charge in due.charges]
    return ledger.content_hash(legs, due.about, due.cdr.currency)


def _keys(dues: Sequence[Due]) -> list[str]:
    return [hold_key(due.cdr.session_id) for due in dues]


def _fleets(dues: Sequence[Due]) -> list[int]:
    return sorted({due.cdr.organisation_id for due in dues})


def _sums(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for key, amount in pairs:
        sums[key] += amount
    return sums


def _rows(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _run(query: str, values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
