"""What the flight recorder wrote: searched, handed out, thrown away when it is old."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db.models import Q

from fleetcharge.lib.partitions import DayPartitions
from ocpp_bridge.models.frames import Frame, FrameQuerySet
from ocpp_bridge.recorder import hash_tag

ERRORS = (Frame.Kind.MALFORMED, Frame.Kind.ERROR, Frame.Kind.RESULT_ERROR)
PARTITIONS = DayPartitions("ocpp_bridge_frame", "at")


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


def search(*, charger_id: int, wanted: Wanted) -> FrameQuerySet:
    """The frames of one charger, newest first; served by (charger, id) in each day's table."""
    found = Frame.objects.filter(charger_id=charger_id, **_exact(wanted))
    if wanted.since:
        found = found.since(wanted.since)
    if wanted.until:
        found = found.until(wanted.until)
    if wanted.has_error:
        found = found.filter(kind__in=ERRORS)
    for text in filter(None, (wanted.text, hash_tag(wanted.tag) if wanted.tag else "")):
        found = found.filter(Q(payload__icontains=text))
    return found


def last_heard_at(charger_id: int) -> datetime | None:
    """When the newest frame we keep came from this charger; its row is only touched once a minute."""
    heard = Frame.objects.filter(charger_id=charger_id, direction=Frame.Direction.IN)
    return heard.values_list("at", flat=True).first()


def _exact(wanted: Wanted) -> dict[str, Any]:
    fields = {
        "action": wanted.action or None,
        "direction": wanted.direction,
        "message_id": wanted.message_id or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def as_lines(frames: FrameQuerySet) -> Iterator[bytes]:
    """JSON Lines, oldest first, read from the database as they are sent; `replay_frames` takes them."""
    for frame in frames.reverse().iterator(chunk_size=500):
        yield orjson.dumps(as_json(frame)) + b"\n"


def as_json(frame: Frame) -> dict[str, Any]:
    return {
        "id": frame.pk,
        "at": frame.at,
        "direction": "out" if frame.direction else "in",
        "kind": frame.get_kind_display(),
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
