"""Module `tokens`, sender: CPOs read our tokens, and ask whether one may charge (real-time authorization)."""

import uuid
from datetime import datetime
from urllib.parse import urlencode

from django.conf import settings

from stations import services
from stations.cpo.ocpi.directory import directory, token_object
from stations.cpo.ocpi.objects.base import as_utc, key
from stations.cpo.ocpi.objects.tokens import LocationReferencesIn
from stations.cpo.ocpi.receivers.base import (
    BAD_PARAMETERS,
    NOT_ENOUGH,
    UNKNOWN_LOCATION,
    UNKNOWN_TOKEN,
    Answer,
    Call,
    Refused,
    pick,
)
from stations.models import EVSE, Connector

PAGE = 1000


def tokens(call: Call) -> Answer:
    """GET list; POST /{token_uid}/authorize[?type=]."""
    if not call.path:
        return pick(call, {"GET": _page})
    if len(call.path) != 2 or call.path[1] != "authorize":
        return Answer(None, BAD_PARAMETERS, "There is nothing at this address.", 404)
    return pick(call, {"POST": _authorize})


def _page(call: Call) -> Answer:
    """Oldest change first; `date_from` inclusive, `date_to` exclusive. The Link keeps the filters and the limit."""
    offset, limit = _count(call, "offset", 0), min(_count(call, "limit", PAGE), PAGE)
    since, until = _moment(call, "date_from"), _moment(call, "date_to")
    if not limit:
        raise Refused(BAD_PARAMETERS, "limit is at least 1.")
    known = directory()
    found, total = known.page(call.source, since=since, until=until, offset=offset, limit=limit) if known else ((), 0)
    headers = {"X-Total-Count": str(total), "X-Limit": str(PAGE)}
    if offset + limit < total:
        query = urlencode({**call.query, "offset": offset + limit, "limit": limit})
        headers["Link"] = f'<{settings.PUBLIC_BASE_URL}/ocpi/{call.version}/emsp/tokens?{query}>; rel="next"'
    return Answer([call.write("token", dict(token_object(token))) for token in found], headers=headers)


def _authorize(call: Call) -> Answer:
    """Whatever we decide is an answer (1000); only a token nobody knows is 404/2004."""
    connector, evse_uids = _place(call)
    known = directory()
    verdict = known.authorize(call.source, call.path[0], connector=connector, at=call.at) if known else None
    if verdict is None:
        return Answer(None, UNKNOWN_TOKEN, "Unknown token.", 404)
    answer = {
        "allowed": verdict.allowed,
        "token": dict(token_object(verdict.token)),
        **({"location": _references(call, evse_uids)} if call.body else {}),
        "authorization_reference": str(uuid.uuid4()),
        **({"info": {"language": "en", "text": verdict.info}} if verdict.info else {}),
    }
    return Answer(call.write("authorization", answer))


def _place(call: Call) -> tuple[Connector | None, list[str]]:
    """The plug and the EVSEs that the CPO names; no place at all is fine, an unknown one is 2003, a wrong one 2002."""
    if not call.body:
        return None, []
    try:
        where = LocationReferencesIn.model_validate(call.body)
    except ValueError:
        raise Refused(NOT_ENOUGH, "LocationReferences name a location_id.") from None
    owner = call.source.parties.all()
    sites = (services.find_location(call.source, key(p.country_code, p.party_id, where.location_id)) for p in owner)
    site = next((site for site in sites if site), None)
    if site is None:
        raise Refused(UNKNOWN_LOCATION, "Unknown location.")
    named = [uid.lower() for uid in where.evse_uids]
    evses: list[EVSE] = [e for e in site.evses.prefetch_related("connectors") if not named or e.uid.lower() in named]
    if named and not evses:
        raise Refused(UNKNOWN_LOCATION, "Unknown EVSE.")
    plugs = [plug for evse in evses for plug in evse.connectors.all()]
    return (plugs[0] if plugs else None), [evse.uid for evse in evses] if named else []


def _references(call: Call, evse_uids: list[str]) -> dict[str, object]:
    return {"location_id": call.body["location_id"], **({"evse_uids": evse_uids} if evse_uids else {})}


def _count(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise Refused(BAD_PARAMETERS, f"{name} is a whole number.")
    return int(text)


def _moment(call: Call, name: str) -> datetime | None:
    text = call.query.get(name, "")
    at = as_utc(text.replace(" ", "+")) if text else None  # a plus sign that nobody encoded
    return at if isinstance(at, datetime) else None
