"""Could the vehicle have done that: jumps in place and in charge, judged against what we last believed.

Receivers hold a position for seconds and then jump, so speed is counted over the time since the position last
*changed*. Three suspects that agree with each other are a new truth (ferry, tow, tunnel, swapped battery).
"""

from fleetcharge.lib.geo import distance_m
from vehicles.fixes import MINUTE, NO_PLACE, SECOND, SUSPECT_POSITION, SUSPECT_SOC, Fix

MAX_SPEED_KMH = {"2W": 120, "3W": 80, "4W": 160, "LCV": 140, "BUS": 120, "TRUCK": 120}
NOISE_M = 30
METRES_PER_DEGREE = 111_700  # of a meridian at the poles, where it is longest
SOC_POINTS_PER_MINUTE = 5
SUSPECTS_THAT_CONVINCE = 3
BURST = 5_000  # eight hours without a network at one ping in ten seconds are 2,880 requests at once
PINGS_PER_SECOND = 5


class Track:
    """What we believe about one vehicle between two pings. A memory, not the truth: lost at a restart without harm."""

    __slots__ = ("_place", "_place_suspects", "_room", "_room_us", "_soc", "_soc_suspects", "changed_us", "seen_us")

    def __init__(self) -> None:
        self._place: tuple[float, float] | None = None
        self.changed_us = self.seen_us = 0
        self._soc: tuple[float, int] | None = None
        self._place_suspects: list[Fix] = []
        self._soc_suspects: list[Fix] = []
        self._room, self._room_us = float(BURST), 0

    def remember(self, place: tuple[float, float, int] | None, soc: tuple[float, int] | None) -> None:
        """Start from the stored state: (latitude, longitude, at) and (percent, at)."""
        if place:
            self._place, self.changed_us, self.seen_us = place[:2], place[2], place[2]
        self._soc = soc

    def has_room(self, now_us: int, count: int) -> bool:
        """Whether a device may send so many pings now: five a second, and 5,000 that it has saved up."""
        elapsed = max(0, now_us - self._room_us) / SECOND
        self._room, self._room_us = min(BURST, self._room + elapsed * PINGS_PER_SECOND), now_us
        if count > self._room:
            return False
        self._room -= count
        return True

    def judge(self, fix: Fix, max_speed_kmh: float) -> None:
        """Flag what is suspect, believe the rest. Pings older than the newest are judged but teach nothing."""
        if not fix.flags & NO_PLACE:
            self._judge_place(fix, max_speed_kmh)
        if fix.soc_percent is not None:
            self._judge_soc(fix, fix.soc_percent)

    def _judge_place(self, fix: Fix, max_speed_kmh: float) -> None:
        known, place, at_us = self._place, (fix.latitude, fix.longitude), fix.at_us
        if known is not None and known != place:
            elapsed_us = max(abs(at_us - self.changed_us), abs(at_us - self.seen_us))
            if is_too_fast(known, fix, elapsed_us, max_speed_kmh) and not self._convinces(fix, max_speed_kmh):
                fix.flags |= SUSPECT_POSITION
                return
        if at_us >= self.seen_us:
            self._believe_place(place, at_us)

    def _believe_place(self, place: tuple[float, float], at_us: int) -> None:
        if place != self._place:
            self._place, self.changed_us = place, at_us
        self.seen_us = at_us
        if self._place_suspects:
            self._place_suspects.clear()

    def _judge_soc(self, fix: Fix, soc_percent: float) -> None:
        if self._is_soc_suspect(fix, soc_percent) and not self._soc_convinces(fix):
            fix.flags |= SUSPECT_SOC
        elif self._soc is None or fix.at_us >= self._soc[1]:
            self._soc = (soc_percent, fix.at_us)
            if self._soc_suspects:
                self._soc_suspects.clear()

    def _convinces(self, fix: Fix, max_speed_kmh: float) -> bool:
        if fix.at_us <= self.seen_us:
            return False
        suspects = self._place_suspects
        if suspects and fix.at_us <= suspects[-1].at_us:
            return False
        if suspects and is_too_fast(
            (suspects[-1].latitude, suspects[-1].longitude), fix, fix.at_us - suspects[-1].at_us, max_speed_kmh
        ):
            suspects.clear()
        suspects.append(fix)
        return len(suspects) >= SUSPECTS_THAT_CONVINCE

    def _is_soc_suspect(self, fix: Fix, soc_percent: float) -> bool:
        if soc_percent == 0 and fix.speed_kmh:
            return True
        if self._soc is None or fix.is_charging or soc_percent == self._soc[0]:
            return False
        return is_soc_jump(soc_percent - self._soc[0], fix.at_us - self._soc[1])

    def _soc_convinces(self, fix: Fix) -> bool:
        if self._soc is not None and fix.at_us <= self._soc[1]:
            return False
        suspects = self._soc_suspects
        if suspects and fix.at_us <= suspects[-1].at_us:
            return False
        if suspects and is_soc_jump(
            (fix.soc_percent or 0) - (suspects[-1].soc_percent or 0), fix.at_us - suspects[-1].at_us
        ):
            suspects.clear()
        suspects.append(fix)
        return len(suspects) >= SUSPECTS_THAT_CONVINCE


def is_too_fast(place: tuple[float, float], fix: Fix, elapsed_us: int, max_speed_kmh: float) -> bool:
    """Further than noise allows, and faster than this class of vehicle drives."""
    if (abs(fix.latitude - place[0]) + abs(fix.longitude - place[1])) * METRES_PER_DEGREE <= NOISE_M:
        return False  # the usual case, without trigonometry: the true distance is shorter still
    metres = distance_m(*place, fix.latitude, fix.longitude)
    if metres <= NOISE_M + (fix.accuracy_m or 0):
        return False
    return metres * 3.6 * SECOND > max_speed_kmh * elapsed_us


def is_soc_jump(points: float, elapsed_us: int) -> bool:
    """More than five points per minute; within a minute five points are allowed."""
    return abs(points) > SOC_POINTS_PER_MINUTE * max(1.0, abs(elapsed_us) / MINUTE)
