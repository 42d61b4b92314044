"""What the flight recorder wrote: searched, handed out, thrown away when it is old."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import orjson
from django.conf import settings

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.partitions import DayPartitions
from ocpp_bridge import packs
from ocpp_bridge.models.frames import Direction, FramePack, FramePackQuerySet, Kind
from ocpp_bridge.packs import Kept
from ocpp_bridge.recorder import hash_tag

ERRORS = frozenset({Kind.MALFORMED.value, Kind.ERROR.value, Kind.RESULT_ERROR.value})
PARTITIONS = DayPartitions("ocpp_bridge_frame_pack", "at")
LONGEST_WAIT = timedelta(minutes=5)  # of an answer that is kept with its CALL
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)  # nothing was recorded before
FIRST_PACKS, MOST_PACKS = 16, 256  # read at once


class Frame(msgspec.Struct, frozen=True):
    """One frame of the wire, redacted. `at_seconds` since 1970; `latency_ms` on an answer: since its CALL."""

    id: int
    at_seconds: float
    direction: int
    kind: int
    action: str
    message_id: str
    error_code: str
    size_bytes: int
    latency_ms: float | None
    is_cut: bool
    payload: str

    @property
    def at(self) -> datetime:
        """When it passed our socket."""
        return datetime.fromtimestamp(self.at_seconds, UTC)


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for; empty fields ask for nothing. `tag` is a token as people know it; its hash is found."""

    since: datetime | None = None
    until: datetime | None = None
    action: str = ""
    direction: int | None = None
    has_error: bool = False
    message_id: str = ""
    text: str = ""
    tag: str = ""

    def texts(self) -> list[str]:
        """What must be in the payload, in small letters."""
        return [text.lower() for text in (self.text, hash_tag(self.tag) if self.tag else "") if text]


@dataclass(frozen=True)
class Recording:
    """The frames of one charger that somebody wants, newest first; read from the database as they are taken."""

    charger_id: int
    wanted: Wanted
    before: int | None = None
    after: int | None = None

    def older_than(self, frame_id: int) -> "Recording":
        return replace(self, before=frame_id)

    def newer_than(self, frame_id: int) -> "Recording":
        return replace(self, after=frame_id)

    def looked_at(self) -> int:
        """What comes after this id was not there yet. Ask before the frames: `newer_than` it goes on from here, also
        where nothing fits, without reading again what did not."""
        last = FramePack.objects.filter(charger_id=self.charger_id).order_by("-pk").values_list("pk", flat=True).first()
        return max(self.after or 0, 0 if last is None else last + packs.IDS_OF_A_PACK - 1)

    def newest(self, count: int) -> list[Frame]:
        return list(islice(self, count))

    def __iter__(self) -> Iterator[Frame]:
        for pack in _newest_first(self._packs()):
            yield from reversed(self._found_in(pack))

    def oldest_first(self) -> Iterator[Frame]:
        for pack in _oldest_first(self._packs()):
            yield from self._found_in(pack)

    def _packs(self) -> FramePackQuerySet:
        """Served by (charger, id) in each day's table."""
        found, wanted = FramePack.objects.filter(charger_id=self.charger_id), self.wanted
        if wanted.since and wanted.since > EARLIEST:
            found = found.filter(until__gte=wanted.since, at__gte=wanted.since - packs.LONGEST_SPAN - LONGEST_WAIT)
        if wanted.until:
            found = found.filter(at__lt=wanted.until)
        if self.before is not None:
            found = found.filter(pk__lt=self.before)
        if self.after is not None:
            found = found.filter(pk__gt=self.after - packs.IDS_OF_A_PACK)
        return found

    def _found_in(self, pack: FramePack) -> list[Frame]:
        texts = self.wanted.texts()
        return [frame for frame in _frames_of(pack) if self._is_between(frame) and _fits(frame, self.wanted, texts)]

    def _is_between(self, frame: Frame) -> bool:
        return (self.before is None or frame.id < self.before) and (self.after is None or frame.id > self.after)


def search(*, charger_id: int, wanted: Wanted) -> Recording:
    return Recording(charger_id, wanted)


def frame_of(organisation: Organisation, frame_id: int) -> Frame | None:
    """One frame of the organisation's own chargers."""
    packs_with_it = FramePack.objects.for_organisation(organisation).with_frame(frame_id)
    return next((frame for pack in packs_with_it for frame in _frames_of(pack) if frame.id == frame_id), None)


def last_heard_at(charger_id: int) -> datetime | None:
    """When the newest frame we keep came from this charger; its row is only touched once a minute."""
    heard = search(charger_id=charger_id, wanted=Wanted(direction=Direction.IN))
    return next((frame.at for frame in heard), None)


def _newest_first(found: FramePackQuerySet) -> Iterator[FramePack]:
    """Few at first, as for a page, then more at once; no cursor that a reader might leave open."""
    size, part = FIRST_PACKS, list(found.order_by("-pk")[:FIRST_PACKS])
    while part:
        yield from part
        if len(part) < size:
            return
        size = min(4 * size, MOST_PACKS)
        part = list(found.filter(pk__lt=part[-1].pk).order_by("-pk")[:size])


def _oldest_first(found: FramePackQuerySet) -> Iterator[FramePack]:
    part = list(found.order_by("pk")[:MOST_PACKS])
    while part:
        yield from part
        if len(part) < MOST_PACKS:
            return
        part = list(found.filter(pk__gt=part[-1].pk).order_by("pk")[:MOST_PACKS])


def _frames_of(pack: FramePack) -> list[Frame]:
    """In the order in which they passed."""
    kept = packs.unpack(bytes(pack.frames))
    return [frame for place, one in enumerate(kept) for frame in _frames_in(pack.pk + 2 * place, one)]


def _frames_in(frame_id: int, one: Kept) -> tuple[Frame, ...]:
    if not one.has_answer:
        return (Frame(frame_id, *msgspec.structs.astuple(one)),)
    call = msgspec.structs.replace(one, latency_ms=None)
    payload = f'[3,"{one.message_id}",{{}}]'
    answer = msgspec.structs.replace(
        one,
        at=one.ended_at,
        direction=packs.OUT,
        kind=Kind.RESULT.value,
        size_bytes=len(payload.encode()),
        is_cut=False,
        payload=payload,
    )
    return (
        Frame(frame_id, *msgspec.structs.astuple(call)),
        Frame(frame_id + 1, *msgspec.structs.astuple(answer)),
    )


def _fits(frame: Frame, wanted: Wanted, texts: Iterable[str]) -> bool:
    return (
        wanted.direction in (None, frame.direction)
        and wanted.action in ("", frame.action)
        and wanted.message_id in ("", frame.message_id)
        and not (wanted.has_error and frame.kind not in ERRORS)
        and not (wanted.since and frame.at < wanted.since)
        and not (wanted.until and frame.at >= wanted.until)
        and all(text in frame.payload.lower() for text in texts)
    )


def as_lines(recording: Recording) -> Iterator[bytes]:
    """JSON Lines, oldest first, read from the database as they are sent; `replay_frames` takes them."""
    for frame in recording.oldest_first():
        yield orjson.dumps(as_json(frame)) + b"\n"


def as_json(frame: Frame) -> dict[str, Any]:
    return {
        "id": frame.id,
        "at": frame.at,
        "direction": "out" if frame.direction else "in",
        "kind": str(Kind(frame.kind).label),
        "action": frame.action,
        "message_id": frame.message_id,
        "error_code": frame.error_code,
        "size_bytes": frame.size_bytes,
        "latency_ms": frame.latency_ms,
        "is_cut": frame.is_cut,
        "frame": frame.payload,
    }


def keep_partitions(*, today: date) -> tuple[list[date], list[date]]:
    """(days that got a table, days that were dropped) after this; harmless to repeat."""
    made = PARTITIONS.ensure(today=today)
    return made, PARTITIONS.drop_before(today - timedelta(days=settings.OCPP_RECORD_DAYS))
