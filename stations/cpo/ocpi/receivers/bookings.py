"""Module `bookings` (2.3.0), receiver: where one can book, and what became of what we booked."""

from typing import Any

from stations import services
from stations.cpo.ocpi.models import PeerDocument
from stations.cpo.ocpi.objects.base import key, now_text
from stations.cpo.ocpi.objects.bookings import BookingIn, BookingLocationIn, CalendarIn
from stations.cpo.ocpi.receivers.base import (
    BAD_PARAMETERS,
    CLIENT_ERROR,
    Answer,
    Call,
    Refused,
    note_push,
    pick,
    same,
    stamp,
)
from stations.services import roaming

Kind = PeerDocument.Kind


def bookings(call: Call) -> Answer:
    """/{cc}/{party}/booking_locations/{id}[/{calendar}] and /{cc}/{party}/{booking}."""
    if call.method in {"PUT", "PATCH"}:
        note_push(call)
    if len(call.path) == 3:
        return pick(call, {"GET": _show_booking, "PUT": _put_booking, "PATCH": _patch_booking})
    if len(call.path) in {4, 5} and call.path[2] == "booking_locations":
        site = {"GET": _show_site, "PUT": _put_site, "PATCH": _patch_site}
        calendar = {"GET": _show_calendar, "PUT": _put_calendar, "PATCH": _put_calendar}
        return pick(call, site if len(call.path) == 4 else calendar)
    raise Refused(BAD_PARAMETERS, "Give /{country_code}/{party_id}/[booking_locations/]{id}[/{calendar_id}].")


# --- bookings ---------------------------------------------------------------------------------------------------
def _show_booking(call: Call) -> Answer:
    held = roaming.find_document(call.source, Kind.BOOKING, key(*call.path))
    return Answer(held.raw) if held else _unknown("booking")


def _put_booking(call: Call) -> Answer:
    return _keep_booking(call, call.body)


def _patch_booking(call: Call) -> Answer:
    stamp(call)
    held = roaming.find_document(call.source, Kind.BOOKING, key(*call.path))
    return _keep_booking(call, {**held.raw, **call.body}) if held else _unknown("booking")


def _keep_booking(call: Call, raw: Any) -> Answer:
    booking = BookingIn.model_validate(raw)
    country, party, number = call.path
    if number.lower() not in {booking.id.lower(), booking.request_id.lower()}:  # the specification names either
        raise Refused(BAD_PARAMETERS, "The ids in the address differ from those in the body.")
    same((booking.country_code, booking.party_id), (country, party))
    is_new = services.take_booking(source=call.source, booking=booking, raw=raw, at=call.at)
    return Answer(http=201 if is_new else 200)


# --- where one can book -----------------------------------------------------------------------------------------
def _site_key(call: Call) -> str:
    return key(call.path[0], call.path[1], call.path[3])


def _show_site(call: Call) -> Answer:
    held = roaming.find_document(call.source, Kind.BOOKING_LOCATION, _site_key(call))
    return Answer(held.raw) if held else _unknown("booking location")


def _put_site(call: Call) -> Answer:
    return _keep_site(call, call.read("booking_location"))


def _patch_site(call: Call) -> Answer:
    stamp(call)
    held = roaming.find_document(call.source, Kind.BOOKING_LOCATION, _site_key(call))
    return _keep_site(call, {**held.raw, **call.read("booking_location")}) if held else _unknown("booking location")


def _keep_site(call: Call, raw: Any) -> Answer:
    site = BookingLocationIn.model_validate(raw)
    same((site.country_code, site.party_id, site.id), (call.path[0], call.path[1], call.path[3]))
    _, outcome = roaming.keep_document(
        source=call.source, kind=Kind.BOOKING_LOCATION, document_key=site.key, raw=raw, updated_at=site.last_updated,
        at=call.at, reference=site.location_id,
    )  # fmt: skip
    return Answer(http=201 if outcome == roaming.NEW else 200)


# --- calendars --------------------------------------------------------------------------------------------------
def _show_calendar(call: Call) -> Answer:
    held = roaming.find_document(call.source, Kind.BOOKING_LOCATION, _site_key(call))
    calendar = _calendar_of(held.raw, call.path[4]) if held else None
    return Answer(calendar) if calendar else _unknown("calendar")


def _put_calendar(call: Call) -> Answer:
    """A calendar lives inside its site, whose last_updated it raises."""
    at = stamp(call)
    held = roaming.find_document(call.source, Kind.BOOKING_LOCATION, _site_key(call))
    if held is None:
        return _unknown("booking location")
    known = _calendar_of(held.raw, call.path[4])
    if known is None and call.method == "PATCH":
        return _unknown("calendar")
    body = call.read("calendar")
    calendar = {**(known or {}), **body} if call.method == "PATCH" else body
    same((CalendarIn.model_validate(calendar).id,), call.path[4:])
    others = [each for each in held.raw.get("calendars", []) if each is not known]
    raw = {**held.raw, "calendars": [*others, calendar], "last_updated": now_text(at)}
    roaming.keep_document(
        source=call.source, kind=Kind.BOOKING_LOCATION, document_key=held.key, raw=raw, updated_at=at, at=call.at,
        reference=held.reference,
    )  # fmt: skip
    return Answer(http=200 if known else 201)


def _calendar_of(site: dict[str, Any], calendar_id: str) -> dict[str, Any] | None:
    calendars = site.get("calendars", [])
    return next((each for each in calendars if str(each.get("id", "")).lower() == calendar_id.lower()), None)


def _unknown(what: str) -> Answer:
    return Answer(None, CLIENT_ERROR, f"Unknown {what}.", 404)
