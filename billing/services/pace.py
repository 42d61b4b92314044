"""Under load, the running figures of a session move a few times a second, not with each of its readings."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from billing.services.meters import MeterReading

EVERY_SECONDS = 0.25
FEW = 32  # so many readings together are no load: each moves its session as it is stored
_Session = tuple[int, str]  # charger, transaction


class Pace:
    """Who is brought up to date with a batch of readings, and what the others' sessions are to be told soon.

    Nothing waits longer than twice `EVERY_SECONDS`. What waits is the newest of each figure: told once, it does what
    all of them would have done one by one, and told again it changes nothing. A process that dies with it loses no
    reading: the next one of the session says more, and its end looks at all of them.
    """

    def __init__(self) -> None:
        self._told_at: dict[int, float] = {}
        self._behind: dict[_Session, MeterReading] = {}
        self._chargers_behind: set[int] = set()

    def __len__(self) -> int:
        """Sessions that are behind their readings."""
        return len(self._behind)

    def choose(self, readings: Sequence["MeterReading"], *, now: float) -> list[int] | None:
        """The chargers whose sessions move with this batch; None: all. `now` in seconds of a monotonic clock."""
        if len(readings) <= FEW and not self._behind:
            return None
        return list({one.charger_id for one in readings if self._is_due(one, now)})

    def _is_due(self, reading: "MeterReading", now: float) -> bool:
        if not reading.transaction_ref or reading.interval_wh is not None:  # of whom is not known; sums do not wait
            return True
        if reading.charger_id in self._chargers_behind:  # in turn: nothing newer goes before what waits
            return False
        return now - self._told_at.get(reading.charger_id, -EVERY_SECONDS) >= EVERY_SECONDS

    def keep(self, readings: Iterable["MeterReading"], due: Sequence[int], *, now: float) -> None:
        """These are stored; of chargers that are not `due`, remember what their sessions are to be told."""
        told = set(due)
        for one in readings:
            if one.charger_id not in told and one.transaction_ref:
                self._put(one)
        self._told_at.update(dict.fromkeys(due, now))

    def take(self, *, now: float) -> list["MeterReading"]:
        """What is to be told now, one reading for each session; it is out of our hands."""
        behind = list(self._behind.values())
        self._behind, chargers, self._chargers_behind = {}, self._chargers_behind, set()
        recent = {charger: at for charger, at in self._told_at.items() if now - at < EVERY_SECONDS}
        self._told_at = recent | dict.fromkeys(chargers, now)
        return behind

    def put_back(self, readings: Iterable["MeterReading"]) -> None:
        """They could not be told; what came meanwhile is newer."""
        for one in readings:
            self._put(one)

    def _put(self, reading: "MeterReading") -> None:
        key = reading.charger_id, reading.transaction_ref
        other = self._behind.get(key)
        self._behind[key] = reading if other is None else _newest_of(other, reading)
        self._chargers_behind.add(reading.charger_id)


def _newest_of(one: "MeterReading", other: "MeterReading") -> "MeterReading":
    """The newest of each figure; of two of one moment the second."""
    old, new = (one, other) if other.at >= one.at else (other, one)
    return replace(
        new,
        energy_wh=old.energy_wh if new.energy_wh is None else new.energy_wh,
        power_w=old.power_w if new.power_w is None else new.power_w,
        soc_percent=old.soc_percent if new.soc_percent is None else new.soc_percent,
    )
