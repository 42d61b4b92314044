"""How far a charger's clock is off, told from the frames it sends anyway."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import transaction

from ocpp_bridge.matters import raise_matter, settle_matter
from ocpp_bridge.threads import in_database
from stations.models import Charger

if TYPE_CHECKING:
    from ocpp_bridge.station import Station

WINDOW_SECONDS = 600.0
MIN_SAMPLES = 3  # before a clock is believed to be far ahead
LAG_SECONDS, LAG_SPREAD_SECONDS = 60.0, 5.0  # before it is believed to be far behind: so long, by the same
WORTH_STORING_SECONDS = 2.0
ALARM_SECONDS, FINE_SECONDS = 60.0, 30.0
MAX_SECONDS = 3e9


def offset_seconds(raw: object, received_at: datetime) -> float | None:
    """Station time minus ours, however absurd; None for what is no instant."""
    if not isinstance(raw, str):
        return None
    try:
        at = datetime.fromisoformat(raw)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return max(-MAX_SECONDS, min((at - received_at).total_seconds(), MAX_SECONDS))
    except (ValueError, OverflowError):
        return None


class ClockWatch:
    """The skew of one socket: the greatest offset of the last ten to twenty minutes.

    A replayed frame is older than a live one by however long it waited, so the greatest offset is that of the live
    ones, and nobody has to say which they are. After an outage all of them may have waited: a clock is behind only when
    it is so a minute later by the same.
    """

    __slots__ = ("_before", "_began_at", "_best", "_count", "_is_steady", "_level", "_level_at", "_stored")

    def __init__(self, stored: float | None = None) -> None:
        self._best: float | None = None
        self._before: float | None = None
        self._began_at: datetime | None = None
        self._stored, self._count = stored, 0
        self._level, self._level_at, self._is_steady = 0.0, datetime.min.replace(tzinfo=UTC), False

    def note(self, raw: object, received_at: datetime) -> float | None:
        """Take one timestamp; the skew in seconds when it has changed enough to be stored, else None."""
        offset = offset_seconds(raw, received_at)
        if offset is None:
            return None
        if self._began_at is None or (received_at - self._began_at).total_seconds() > WINDOW_SECONDS:
            self._before, self._best, self._began_at = self._best, None, received_at
        self._best = offset if self._best is None else max(self._best, offset)
        skew = self._best if self._before is None else max(self._best, self._before)
        self._count += 1
        if not self._is_believed(skew, offset, received_at):
            return None
        if self._stored is not None and abs(skew - self._stored) < WORTH_STORING_SECONDS:
            return None
        self._stored = skew
        return skew

    def _is_believed(self, skew: float, offset: float, received_at: datetime) -> bool:
        if abs(skew - self._level) > LAG_SPREAD_SECONDS:
            self._level, self._level_at, self._is_steady = skew, received_at, False
        elif abs(offset - self._level) <= LAG_SPREAD_SECONDS:
            self._is_steady |= (received_at - self._level_at).total_seconds() >= LAG_SECONDS
        if skew < -ALARM_SECONDS:
            return self._is_steady
        return skew <= ALARM_SECONDS or self._count >= MIN_SAMPLES


async def watch(station: "Station", raw: object, received_at: datetime) -> None:
    """Take the timestamp of a frame that was not said to be a replay; writes when the skew has changed."""
    skew = station.clock.note(raw, received_at)
    if skew is not None:
        await in_database(store_skew, charger_id=station.charger_id, skew_seconds=skew, at=received_at)


@transaction.atomic
def store_skew(*, charger_id: int, skew_seconds: float, at: datetime) -> None:
    """Keep it on the charger; beyond a minute a person is told, and told again when it is right."""
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    before, charger.clock_skew_seconds = charger.clock_skew_seconds or 0.0, round(skew_seconds, 1)
    charger.save(update_fields=["clock_skew_seconds"])
    if abs(skew_seconds) > ALARM_SECONDS >= abs(before):
        way = "ahead" if skew_seconds > 0 else "behind"
        raise_matter(
            charger_id=charger_id, cause="clock", key="", title=f"clock is {abs(skew_seconds):.0f} s {way}",
            detail="Its times are stored as it says them.", at=at,
        )  # fmt: skip
    elif abs(skew_seconds) < FINE_SECONDS and abs(before) >= FINE_SECONDS:
        settle_matter(charger_id=charger_id, cause="clock", key="", at=at)
