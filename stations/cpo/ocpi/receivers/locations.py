"""Module `locations`, receiver: sites, EVSEs and connectors that their CPO pushes (and may look at)."""

from dataclasses import replace
from datetime import datetime

from stations import services
from stations.cpo.ocpi.objects.base import key
from stations.cpo.ocpi.objects.locations import ConnectorIn, EvseIn, LocationIn
from stations.cpo.ocpi.outgoing import connector_out, evse_out, location_out
from stations.cpo.ocpi.receivers.base import (
    BAD_PARAMETERS,
    UNKNOWN_LOCATION,
    Answer,
    Call,
    Refused,
    note_push,
    pick,
    same,
    stamp,
)
from stations.cpo.ocpi.taking import take_location
from stations.models import EVSE
from stations.status import FROM_OCPI


def locations(call: Call) -> Answer:
    if not 3 <= len(call.path) <= 5:
        raise Refused(BAD_PARAMETERS, "Give /{country_code}/{party_id}/{location_id}[/{evse_uid}[/{connector_id}]].")
    if call.method in {"PUT", "PATCH"}:
        note_push(call)
    return pick(call, {"GET": _get_location, "PUT": _put_location, "PATCH": _patch_location})


def _get_location(call: Call) -> Answer:
    location_key = key(*call.path[:3])
    if len(call.path) == 3:
        location = services.find_location(call.source, location_key)
        return Answer(call.write("location", location_out(location, call.path[2]))) if location else _not_found()
    evse = services.find_evse(call.source, f"{location_key}*{call.path[3]}")
    if evse is None:
        return _not_found()
    if len(call.path) == 4:
        return Answer(call.write("evse", evse_out(evse)))
    connector = evse.connectors.filter(external_id__iexact=call.path[4]).first()
    return Answer(call.write("connector", connector_out(connector))) if connector else _not_found()


def _not_found() -> Answer:
    return Answer(None, UNKNOWN_LOCATION, "Unknown location.", 404)


def _put_location(call: Call) -> Answer:
    return (_put_site, _put_evse, _put_connector)[len(call.path) - 3](call)


def _put_site(call: Call) -> Answer:
    location = LocationIn.model_validate(call.read("location"))
    same((location.country_code, location.party_id, location.id), call.path)
    is_new = services.find_location(call.source, key(*call.path)) is None
    take_location(call.source, location, call.at)
    return Answer(http=201 if is_new else 200)


def _put_evse(call: Call) -> Answer:
    evse = EvseIn.model_validate(call.read("evse"))
    same((evse.uid,), call.path[3:])
    site_key = key(*call.path[:3])
    site = services.find_location(call.source, site_key)
    if site is None:
        return not_held(call)
    is_new = services.find_evse(call.source, f"{site_key}*{evse.uid}") is None
    services.upsert_evse(source=call.source, location=site, doc=evse.doc(), key=site_key, at=call.at)
    return Answer(http=201 if is_new else 200)


def _put_connector(call: Call) -> Answer:
    connector = ConnectorIn.model_validate(call.read("connector"))
    same((connector.id,), call.path[4:])
    evse_key = _evse_key(call)
    evse = services.find_evse(call.source, evse_key)
    if evse is None:
        return not_held(call)
    is_new = not evse.connectors.filter(external_id__iexact=connector.id).exists()
    services.upsert_connector(
        source=call.source, evse=evse, doc=connector.doc(), key=evse_key, updated_at=stamp(call), at=call.at
    )
    return Answer(http=201 if is_new else 200)


def _patch_location(call: Call) -> Answer:
    at = stamp(call)
    if len(call.path) == 4 and "status" in call.body:
        return _patch_status(call, at)
    return (_patch_site, _patch_evse, _patch_connector)[len(call.path) - 3](call)


def _patch_site(call: Call) -> Answer:
    """Only what is named changes; EVSEs that are named replace all we had."""
    site = services.find_location(call.source, key(*call.path))
    if site is None:
        return not_held(call)
    merged = LocationIn.model_validate({**location_out(site, call.path[2]), **call.read("location")})
    same((merged.country_code, merged.party_id, merged.id), call.path)
    if "evses" in call.body or not merged.publish:
        take_location(call.source, merged, call.at)
    else:
        services.update_location(source=call.source, doc=merged.doc(), at=call.at)
    return Answer()


def _patch_evse(call: Call) -> Answer:
    evse = services.find_evse(call.source, _evse_key(call))
    if evse is None:
        return not_held(call)
    doc = EvseIn.model_validate({**evse_out(evse), **call.read("evse"), "uid": evse.uid}).doc()
    doc = doc if "status" in call.body or evse.is_removed else replace(doc, raw_status="")
    services.upsert_evse(source=call.source, location=evse.location, doc=doc, key=key(*call.path[:3]), at=call.at)
    return Answer()


def _patch_connector(call: Call) -> Answer:
    evse = services.find_evse(call.source, _evse_key(call))
    held = evse.connectors.filter(external_id__iexact=call.path[4]).first() if evse else None
    if evse is None or held is None:
        return not_held(call)
    merged = ConnectorIn.model_validate({**connector_out(held), **call.read("connector"), "id": held.external_id})
    services.upsert_connector(
        source=call.source, evse=evse, doc=merged.doc(), key=_evse_key(call), updated_at=stamp(call), at=call.at
    )
    return Answer()


def _patch_status(call: Call, at: datetime) -> Answer:
    """The hot path: one EVSE, one word. Older news is answered 1000 and ignored; unknown EVSEs are fetched."""
    word = str(call.body["status"])
    try:
        services.report_evse_status(
            source_id=call.source.pk, external_key=_evse_key(call), raw_status=word[:30],
            status=FROM_OCPI.get(word, "unknown"), at=at, received_at=call.at,
        )  # fmt: skip
    except EVSE.DoesNotExist:
        return not_held(call)
    return _patch_evse(call) if set(call.body) - {"status", "last_updated"} else Answer()


def _evse_key(call: Call) -> str:
    return f"{key(*call.path[:3])}*{call.path[3]}"


def not_held(call: Call) -> Answer:
    """The answer says that we do not know it; the site is fetched from the CPO meanwhile."""
    return Answer(None, UNKNOWN_LOCATION, "Unknown location; we will fetch it.", fetch=f"location:{call.path[2]}")
