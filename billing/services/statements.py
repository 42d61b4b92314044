"""A wallet's statement: its entries in the order they were booked, each with the balance after it. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

CHUNK = 2_000

# The legs of one entry are one line. The balance is counted over the lines, in the order of their last leg.
_LINES = """
WITH legs AS (
    SELECT id, entry_key, leg, kind, memo, session_id, vehicle_id, location_id, occurred_at, recorded_at, amount_paise
    FROM billing_ledgertransfer WHERE credit_id = %(account)s AND recorded_at >= %(since)s AND recorded_at < %(until)s
    UNION ALL
    SELECT id, entry_key, leg, kind, memo, session_id, vehicle_id, location_id, occurred_at, recorded_at, -amount_paise
    FROM billing_ledgertransfer WHERE debit_id = %(account)s AND recorded_at >= %(since)s AND recorded_at < %(until)s
), lines AS (
    SELECT entry_key, max(id) AS position, (array_agg(kind ORDER BY leg))[1] AS kind,
        (array_agg(memo ORDER BY leg))[1] AS memo, max(session_id) AS session_id, max(vehicle_id) AS vehicle_id,
        max(location_id) AS location_id, min(occurred_at) AS occurred_at, max(recorded_at) AS recorded_at,
        sum(amount_paise)::bigint AS amount
    FROM legs GROUP BY entry_key
), counted AS (
    SELECT *, (%(opening)s + sum(amount) OVER (ORDER BY position))::bigint AS balance, count(*) OVER () AS total
    FROM lines
)
SELECT c.entry_key, c.position, c.kind, c.memo, c.session_id, c.occurred_at, c.recorded_at, c.amount, c.balance,
    COALESCE(v.registration, ''), COALESCE(l.name, ''), c.total
FROM counted c LEFT JOIN vehicles_vehicle v ON v.id = c.vehicle_id
LEFT JOIN stations_location l ON l.id = c.location_id
"""
_SUMS = """
SELECT COALESCE(sum(amount) FILTER (WHERE recorded_at < %(since)s), 0)::bigint,
    COALESCE(sum(amount) FILTER (WHERE recorded_at >= %(since)s AND amount > 0), 0)::bigint,
    COALESCE(sum(amount) FILTER (WHERE recorded_at >= %(since)s AND amount < 0), 0)::bigint
FROM (
    SELECT amount_paise AS amount, recorded_at FROM billing_ledgertransfer
    WHERE credit_id = %(account)s AND recorded_at < %(until)s
    UNION ALL
    SELECT -amount_paise, recorded_at FROM billing_ledgertransfer
    WHERE debit_id = %(account)s AND recorded_at < %(until)s
) moves
"""


@dataclass(frozen=True)
class Line:
    """One entry as the wallet sees it; `amount_paise` above zero came in."""

    entry_key: str
    position: int
    kind: str
    memo: str
    session_id: int | None
    occurred_at: datetime
    recorded_at: datetime
    amount_paise: int
    balance_paise: int
    vehicle: str
    site: str


@dataclass(frozen=True)
class Sums:
    """Of a stretch of time; opening + in + out (below zero) = closing."""

    opening_paise: int
    in_paise: int
    out_paise: int

    @property
    def closing_paise(self) -> int:
        return self.opening_paise + self.in_paise + self.out_paise


@dataclass(frozen=True)
class Stretch:
    """Whole days of the organisation's own time, both ends included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=self.zone)

    @property
    def until(self) -> datetime:
        after = self.last + timedelta(days=1)
        return datetime(after.year, after.month, after.day, tzinfo=self.zone)


def sums(account_id: int, stretch: Stretch) -> Sums:
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"account": account_id, "since": stretch.since, "until": stretch.until})
        return Sums(*(int(value) for value in cursor.fetchone()))


def page(
    account_id: int, stretch: Stretch, *, opening_paise: int, limit: int, offset: int = 0
) -> tuple[list[Line], int]:
    """Lines, the newest first, and how many there are in all."""
    with connection.cursor() as cursor:
        cursor.execute(
            _LINES + " ORDER BY c.position DESC LIMIT %(limit)s OFFSET %(offset)s",
            {**_values(account_id, stretch, opening_paise), "limit": limit, "offset": offset},
        )
        rows = cursor.fetchall()
    return [Line(*row[:-1]) for row in rows], int(rows[0][-1]) if rows else 0


def every_line(account_id: int, stretch: Stretch, *, opening_paise: int) -> Iterator[Line]:
    """All lines, the oldest first, a piece at a time: for files of any length."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_LINES + " ORDER BY c.position", _values(account_id, stretch, opening_paise))
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                yield Line(*row[:-1])


def _values(account_id: int, stretch: Stretch, opening_paise: int) -> dict[str, Any]:
    return {"account": account_id, "since": stretch.since, "until": stretch.until, "opening": opening_paise}
