"""Pages by key: the next one begins behind the last row, so rows that come or go move nobody's place."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.core import signing
from django.db.models import Q, QuerySet

Rows = QuerySet[Any]
SALT = "dispatch.tables"


def after(rows: Rows, order: Sequence[str], values: Sequence[Any]) -> Rows:
    """What comes behind the row with these values; none of them is ever null."""
    behind, equal = Q(), dict[str, Any]()
    for key, value in zip(order, values, strict=True):
        behind |= Q(**equal, **{_compare(key, strictly=True): value})
        equal[key.removeprefix("-")] = value
    return rows.filter(Q(**{_compare(order[0], strictly=False): values[0]}) & behind)


def before(rows: Rows, order: Sequence[str], values: Sequence[Any]) -> Rows:
    """What comes ahead of the row with these values, the nearest first."""
    falling = opposite(order)
    return after(rows, falling, values).order_by(*falling)


def opposite(order: Sequence[str]) -> list[str]:
    return [key.removeprefix("-") if key.startswith("-") else f"-{key}" for key in order]


def _compare(key: str, *, strictly: bool) -> str:
    return f"{key.removeprefix('-')}__{'lt' if key.startswith('-') else 'gt'}{'' if strictly else 'e'}"


def values_of(row: Any, order: Sequence[str]) -> list[Any]:
    return [getattr(row, key.removeprefix("-")) for key in order]


def cursor_of(row: Any, order: Sequence[str]) -> str:
    """Where this row stands, for the address of the next page."""
    values = values_of(row, order)
    return signing.dumps(
        [list(order), [value.isoformat() if isinstance(value, datetime) else value for value in values]], salt=SALT
    )


def values_in(cursor: str, order: Sequence[str]) -> list[Any] | None:
    """None for one that is not ours, or of another order: that begins at the beginning."""
    try:
        told, values = signing.loads(cursor, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return list(values) if told == list(order) else None


def in_pieces(rows: Rows, order: Sequence[str], size: int) -> Iterator[list[Any]]:
    """All of them, a page at a time: no cursor of the database stays open while somebody's line is slow."""
    piece = list(rows.order_by(*order)[:size])
    while piece:
        yield piece
        if len(piece) < size:
            return
        piece = list(after(rows, order, values_of(piece[-1], order)).order_by(*order)[:size])
