"""What a tracker's clock is worth, learned from its live packets; imports no Django.

Live or history is the tracker's own word. A live packet was sent since the connection was last read empty; one that
names an instant outside of that tells how far the clock is off, and the history behind it is off by as much.
"""

from collections.abc import Sequence
from typing import NamedTuple

from vehicles.clocks import AHEAD_TOLERATED, LATE_AFTER, without_rollover
from vehicles.fixes import MINUTE

SAME_ERROR = 2 * MINUTE  # two measurements of one error differ by what the network takes


class Said(NamedTuple):
    """When it was, by the tracker, in microseconds since 1970 UTC."""

    at_us: int
    is_history: bool


class TrackerClock:
    """How far one tracker's clock is behind ours; negative when it is ahead."""

    __slots__ = ("behind_us",)

    def __init__(self) -> None:
        self.behind_us = 0

    def set_right(self, said: Sequence[Said], since_us: int, received_us: int) -> list[int]:
        """Each instant by our clock, in the order of the packets; live ones were sent between the two last arguments.

        Packets of a wrong clock keep their distance, and the newest of them is of now.
        """
        instants = [without_rollover(item.at_us, received_us) for item in said]
        earliest, latest = since_us - LATE_AFTER, received_us + AHEAD_TOLERATED
        live = [at for at, item in zip(instants, said, strict=True) if not item.is_history]
        if wrong := [at for at in live if not earliest <= at <= latest]:
            self._learn(received_us - max(wrong))
        behind_us = self.behind_us
        if live and earliest <= live[-1] <= latest:
            self.behind_us = 0  # it was set meanwhile
        return [
            self._moved(at, behind_us, received_us)
            if item.is_history
            else at
            if earliest <= at <= latest
            else self._moved_live(at + behind_us, earliest, received_us, len(said) - index)
            for index, (at, item) in enumerate(zip(instants, said, strict=True))
        ]

    def _learn(self, behind_us: int) -> None:
        is_known = self.behind_us and abs(behind_us - self.behind_us) <= SAME_ERROR
        self.behind_us = min(behind_us, self.behind_us) if is_known else behind_us

    @staticmethod
    def _moved(at_us: int, behind_us: int, received_us: int) -> int:
        """History that would lie ahead was written before the clock went wrong."""
        return at_us + behind_us if at_us + behind_us <= received_us else at_us

    @staticmethod
    def _moved_live(at_us: int, earliest: int, received_us: int, packets_behind: int) -> int:
        """An instant that fits no other of the same read is of now; never the same as another's."""
        return at_us if earliest <= at_us <= received_us else received_us - packets_behind
