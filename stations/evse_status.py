"""What the plugs of one EVSE say together: it charges one vehicle, so a plug in use decides for all of them. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

BUSY = ("charging", "occupied", "reserved")
ORDER = (*BUSY, "available", "unavailable", "faulted", "unknown")
"""The first of these that a plug of it says is what it says."""


class _Plug(Protocol):
    public_id: str
    status: str
    heard_at: datetime | None


Plug = TypeVar("Plug", bound=_Plug)


def deciding(plugs: Iterable[Plug]) -> Plug | None:
    """The plug whose status is its EVSE's, of equals the one heard of last; None for an EVSE without plugs."""
    return min(plugs, key=_rank, default=None)


def _rank(plug: _Plug) -> tuple[int, bool, float, str]:
    heard_at = plug.heard_at or datetime.min.replace(tzinfo=UTC)
    return ORDER.index(plug.status), plug.heard_at is None, -heard_at.timestamp(), plug.public_id


# The same in SQL over rows `each` with status, heard_at and public_id.
BY_RANK = "array_position(ARRAY[{}], each.status::text), each.heard_at DESC NULLS LAST, each.public_id".format(
    ", ".join(f"'{word}'" for word in ORDER)
)
