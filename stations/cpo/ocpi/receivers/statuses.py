"""The hot path of `locations`: PATCHes of one EVSE's status from many calls, committed together."""

from collections.abc import Sequence
from datetime import datetime

from stations.cpo.ocpi.objects.base import as_utc, key
from stations.cpo.ocpi.receivers.base import Answer, Call, note_push
from stations.cpo.ocpi.receivers.locations import not_held
from stations.services.bulk import UNKNOWN_EVSE, EvseReport, report_evses
from stations.status import FROM_OCPI

PLAIN = frozenset({"status", "last_updated"})


def status_in(module: str, call: Call) -> EvseReport | None:
    """What a PATCH says of one EVSE when that is its status and no more; None for every other call."""
    body = call.body
    if module != "locations" or call.method != "PATCH" or len(call.path) != 4 or not isinstance(body, dict):
        return None
    word, at = body.get("status"), _instant(body.get("last_updated"))
    external_key = f"{key(*call.path[:3])}*{call.path[3]}"
    if body.keys() != PLAIN or not isinstance(word, str) or at is None or "\0" in external_key + word:
        return None
    return EvseReport(call.source.pk, external_key, word[:30], FROM_OCPI.get(word, "unknown"), at, call.at)


def _instant(raw: object) -> datetime | None:
    try:
        at = as_utc(raw)
    except (ValueError, OverflowError):
        return None
    return at if isinstance(at, datetime) else None


def answer_statuses(calls: Sequence[Call], reports: Sequence[EvseReport]) -> list[Answer]:
    """One answer per call. Older news is answered 1000 and ignored; unknown EVSEs are fetched."""
    for call in {call.source.pk: call for call in reversed(calls)}.values():
        note_push(call)
    outcomes = report_evses(reports)
    return [
        not_held(call) if outcome == UNKNOWN_EVSE else Answer() for call, outcome in zip(calls, outcomes, strict=True)
    ]
