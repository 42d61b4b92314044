"""Our bank statement as a CSV: credits by UTR, each once."""

import csv
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation

from django.db import transaction

from billing.models import BankLine
from billing.payments import settlements
from fleetcharge.lib.money import PAISE_PER_RUPEE, round_half_up

COLUMNS = ("date", "reference", "amount")


class UnreadableStatement(ValueError):
    """Says which line, and why; nothing of the file was taken."""


@transaction.atomic
def import_csv(lines: Iterable[str], *, now: datetime) -> int:
    """`date,reference,amount[,text]`, the date as 2026-11-30, the amount in rupees; returns how many are new.

    A line that is there already is passed over, one with another amount is refused, as the whole file then is.
    """
    rows = [_line(number, row) for number, row in enumerate(csv.DictReader(lines), start=2)]
    known = {
        row.reference: row.amount_paise for row in BankLine.objects.filter(reference__in=[r.reference for r in rows])
    }
    fresh: dict[str, BankLine] = {}
    for number, row in enumerate(rows, start=2):
        if known.get(row.reference, row.amount_paise) != row.amount_paise:
            raise UnreadableStatement(f"line {number}: {row.reference} was imported with another amount")
        if fresh.get(row.reference, row).amount_paise != row.amount_paise:
            raise UnreadableStatement(f"line {number}: {row.reference} is there twice, with two amounts")
        if row.reference not in known:
            fresh[row.reference] = row
    BankLine.objects.bulk_create(fresh.values())
    settlements.match_bank(now=now)
    return len(fresh)


def _line(number: int, row: dict[str, str]) -> BankLine:
    try:
        booked_on = datetime.strptime((row.get("date") or "").strip(), "%Y-%m-%d").date()
        paise = round_half_up(Decimal((row.get("amount") or "").replace(",", "").strip()) * PAISE_PER_RUPEE)
    except (ValueError, InvalidOperation) as error:
        raise UnreadableStatement(f"line {number}: {error}") from error
    reference = (row.get("reference") or "").strip()
    if not reference or len(reference) > 60:
        raise UnreadableStatement(f"line {number}: no reference (UTR)")
    return BankLine(booked_on=booked_on, amount_paise=paise, reference=reference, text=(row.get("text") or "")[:200])
