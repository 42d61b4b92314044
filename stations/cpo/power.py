"""How a higher app reaches sites that share their power: limits to plan with, and what a session is to have when.

Who steers chargers registers itself in AppConfig.ready().
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Row = tuple[int, int, int]
"""From and until as Unix seconds, watts."""


@dataclass(frozen=True)
class Wish:
    """At most these watts for a session at these times, and nothing else, so that it has its energy in time.

    Without rows: what is still ahead of an earlier wish is taken back, and the site's own rule counts.
    """

    session_id: int
    rows: Sequence[Row]
    departure_at: datetime
    energy_wh: int
    """Of the whole session."""


class SharesPower(Protocol):
    def limits(self, location_id: int, *, now: datetime, hours: int) -> list[tuple[int, int]] | None:
        """(Unix second from which, watts for all chargers), rising; None: nobody shares the power of this site."""
        ...

    def wish(self, wishes: Sequence[Wish], *, now: datetime) -> list[int]:
        """Take these in place of those before; ids of the sessions that are steered so, without those whose goal a
        person has set."""
        ...


_doors: list[SharesPower] = []


def register(door: SharesPower) -> None:
    _doors[:] = [door]


def door() -> SharesPower | None:
    return _doors[0] if _doors else None
