"""The shapes pushes come in, and how each kind of vendor wants to be answered. No database.

OCPI 2.2.1 mod_locations 8.2.2 (Receiver), OICP 2.3 eRoamingAcknowledgment; the others are read by their mapping.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from stations.cpo.ocpi.objects.base import key as ocpi_key
from stations.cpo.ocpi.objects.base import now_text
from stations.cpo.ocpi.objects.locations import LocationIn
from stations.cpo.webhooks.mapping import MAX_ENTRIES, Entry, Reading, StatusWord, instant
from stations.cpo.webhooks.sites import BadEntry, key
from stations.status import FROM_OCPI

OCPI, OICP = "ocpi", "oicp"
APPLIED = frozenset({"applied", "unchanged", "stale", "ignored", "unknown_word"})
"""Codes of entries that need nothing more; the rest are dead letters."""


@dataclass(frozen=True)
class Outcome:
    """What became of one entry; `at` is the vendor's time, when it said one."""

    index: int
    code: str
    detail: str = ""
    subject: str = ""
    at: datetime | None = None


def read_ocpi(body: Any, path: Sequence[str]) -> Reading:
    """`PATCH|PUT .../{country}/{party}/{location}[/{evse}]`, or objects with their ids inside. Raises BadEntry."""
    objects = body if isinstance(body, list) else [body]
    if len(objects) > MAX_ENTRIES:
        raise BadEntry("too_many_entries", f"{len(objects)} entries are more than {MAX_ENTRIES}.")
    return Reading([entry for index, entry in enumerate(objects) for entry in _ocpi_entries(index, entry, path)])


def _ocpi_entries(index: int, body: Any, path: Sequence[str]) -> Iterator[Entry]:
    if not isinstance(body, dict):
        yield Entry(index, code="bad_entry", detail="An OCPI object is a JSON object.")
        return
    try:
        if "coordinates" in body:
            site = _ocpi_site(body, path)
            yield Entry(index, site=site.doc(), is_deleted=not site.publish)
        elif isinstance(body.get("evses"), list):
            yield from (_ocpi_status(number, evse, path[:3], body) for number, evse in enumerate(body["evses"]))
        elif len(path) == 5 and "status" not in body:
            yield Entry(index, code="ignored", detail="A connector has no status in OCPI.")
        else:
            yield _ocpi_status(index, body, path, body)
    except (BadEntry, ValidationError, ValueError) as error:
        yield Entry(index, code=getattr(error, "code", "bad_entry"), detail=str(error)[:255])


def _ocpi_site(body: dict[str, Any], path: Sequence[str]) -> LocationIn:
    named = dict(zip(("country_code", "party_id", "id"), path, strict=False))
    return LocationIn.model_validate({**named, **body})


def _ocpi_status(index: int, evse: Any, path: Sequence[str], outer: dict[str, Any]) -> Entry:
    if not isinstance(evse, dict):
        return Entry(index, code="bad_entry", detail="An EVSE is a JSON object.")
    site = [*path[:3], *(key(outer.get(name)) for name in ("country_code", "party_id", "location_id"))][:3]
    uid = path[3] if len(path) > 3 else key(evse.get("uid") or evse.get("evse_uid"))
    word = str(evse.get("status") or "").replace("\0", "").strip()[:30]
    if not uid:
        return Entry(index, code="no_evse", detail="Neither the address nor the body names an EVSE.")
    if not word:
        return Entry(index, code="ignored", detail="Nothing is said of its status.")
    at = instant(evse.get("last_updated") or outer.get("last_updated"), "last_updated")
    if at is None:
        return Entry(index, code="no_last_updated", detail="A PATCH must carry last_updated (OCPI 2.2.1, 8.2.2.3).")
    shown = FROM_OCPI.get(word, "")
    return Entry(
        index, status=StatusWord(uid, ocpi_key(*site) if all(site) else "", word, shown or "unknown", at, bool(shown))
    )


def answered(style: str, outcomes: Sequence[Outcome], now: datetime, *, is_duplicate: bool = False) -> Any:
    """The body of a 200: one code per entry, in the vendor's own frame."""
    results = [
        {"index": each.index, "code": each.code, **({"detail": each.detail} if each.detail else {})}
        for each in outcomes
    ]
    bad = next((each for each in outcomes if each.code not in APPLIED), None)
    if style == OCPI:
        code = 1000 if bad is None else 2003 if bad.code == "unknown_evse" else 2001
        message = "Success" if bad is None else f"{bad.code}: {bad.detail}"
        frame = {"status_code": code, "status_message": message, "timestamp": now_text(now)}
        return frame if len(results) == 1 else {"data": results, **frame}
    if style == OICP:
        status = {"Code": "000", "Description": "Success"}
        if bad is not None:
            status = {"Code": "021", "Description": f"{bad.code}: {bad.detail}"[:200]}
        return {"Result": bad is None, "StatusCode": status, "results": results}
    taken = sum(each.code in APPLIED for each in outcomes)
    return {"received": len(results), "taken": taken, "duplicate": is_duplicate, "results": results}


def refused(style: str, code: str, detail: str, now: datetime) -> Any:
    """The body of a refusal: our error shape, inside the vendor's frame where it has one."""
    ours = {"detail": detail, "code": code}
    if style == OCPI:
        return {"status_code": 2001, "status_message": detail, "timestamp": now_text(now), **ours}
    if style == OICP:
        return {"Result": False, "StatusCode": {"Code": "021", "Description": detail[:200]}, **ours}
    return ours
