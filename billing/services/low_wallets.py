"""A wallet that falls below its warning limit is a fact once, until it has been a fifth above it again."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

CROSSES = """
CASE WHEN {wallet}.low_since IS NULL THEN {available} < {wallet}.low_threshold_paise
     ELSE {available} >= {wallet}.low_threshold_paise + {wallet}.low_threshold_paise / 5 END
"""
"""For statements that have the row in hand: would `became_low` change anything?"""
# Nearly always it changes nothing, and costs one look at a row that the caller has locked anyway.
_CROSS = """
UPDATE billing_wallet SET low_since = CASE WHEN low_since IS NULL THEN %(now)s::timestamptz END
WHERE organisation_id = %(organisation)s AND CASE WHEN low_since IS NULL THEN %(available)s < low_threshold_paise
    ELSE %(available)s >= low_threshold_paise + low_threshold_paise / 5 END
RETURNING low_since, low_threshold_paise
"""


@dataclass(frozen=True)
class BecameLow:
    since: datetime
    low_threshold_paise: int


def became_low(*, organisation_id: int, available_paise: int, now: datetime) -> BecameLow | None:
    """The first time that the wallet is seen below its limit; None otherwise.

    A balance that swings around the limit, as holds make it do, is one fall; the next counts after a fifth above.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CROSS, {"organisation": organisation_id, "available": available_paise, "now": now})
        row = cursor.fetchone()
    return BecameLow(row[0], int(row[1])) if row and row[0] is not None else None
