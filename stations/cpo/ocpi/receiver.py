"""What a CPO may call at ours: credentials, locations, tariffs, command results. Pure request in, OCPI answer out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError
from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.base import CPOError
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.adapter import RESULT_PURPOSE, take_location, take_tariff
from stations.cpo.ocpi.outgoing import connector_out, evse_out, location_out, tariff_out
from stations.cpo.ocpi.wire import CommandResultIn, ConnectorIn, CredentialsIn, EvseIn, LocationIn, Wire, as_utc, key
from stations.models import EVSE, CPOCommand, Source, Tariff
from stations.status import FROM_OCPI

OK, CLIENT_ERROR, BAD_PARAMETERS, UNKNOWN_LOCATION, CALL_BACK_FAILED = 1000, 2000, 2001, 2003, 3001


@dataclass(frozen=True)
class Call:
    """One authenticated call of a CPO. `path` is what follows the module's address."""

    source: Source
    method: str
    path: tuple[str, ...]
    body: Any
    at: datetime


@dataclass(frozen=True)
class Answer:
    data: Any = None
    status_code: int = OK
    message: str = "Success"
    http: int = 200
    fetch: str = ""  # id of a site that we heard of but do not hold: to be fetched from the CPO
    wait_seconds: int = 0  # with http 429


class Refused(Exception):
    """The call reached OCPI and cannot be done; carries the OCPI status code."""

    def __init__(self, status_code: int, message: str, http: int = 200) -> None:
        super().__init__(message)
        self.answer = Answer(None, status_code, message, http)


def handle(module: str, call: Call) -> Answer:
    """Route one call; never raises for what a peer can send."""
    handler = MODULES.get(module)
    if handler is None:
        return Answer(None, CLIENT_ERROR, f"There is no module {module}.", 404)
    try:
        return handler(call)
    except Refused as refused:
        return refused.answer
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return Answer(None, BAD_PARAMETERS, f"{place}: {first['msg']}")
    except (ValueError, TypeError, IntegrityError, DataError) as error:
        return Answer(None, BAD_PARAMETERS, f"Not usable: {str(error).splitlines()[0]}"[:255])


# --- versions and credentials -----------------------------------------------------------------------------------
def versions(call: Call) -> Answer:
    return Answer([{"version": registration.VERSION, "url": f"{settings.PUBLIC_BASE_URL}/ocpi/2.2.1"}])


def version_details(call: Call) -> Answer:
    base = f"{settings.PUBLIC_BASE_URL}/ocpi/2.2.1"
    endpoints = [{"identifier": "credentials", "role": "SENDER", "url": f"{base}/credentials"}]
    endpoints += [
        {"identifier": module, "role": "RECEIVER", "url": f"{base}/emsp/{module}"}
        for module in ("locations", "tariffs")
    ]
    return Answer({"version": registration.VERSION, "endpoints": endpoints})


def credentials(call: Call) -> Answer:
    is_registered = bool(call.source.endpoints)
    if call.method == "GET":
        return Answer(registration.our_credentials(""))
    if (call.method == "POST") == is_registered or call.method not in {"POST", "PUT", "DELETE"}:
        raise Refused(CLIENT_ERROR, "Registered already." if is_registered else "Not registered.", 405)
    if call.method == "DELETE":
        registration.forget_peer(call.source, at=call.at)
        return Answer()
    try:
        token = registration.accept_peer(call.source, CredentialsIn.model_validate(call.body), at=call.at)
    except CPOError as error:
        raise Refused(3002 if error.code == "no_version" else CALL_BACK_FAILED, str(error)) from None
    return Answer(registration.our_credentials(token))


# --- locations --------------------------------------------------------------------------------------------------
def locations(call: Call) -> Answer:
    if not 3 <= len(call.path) <= 5:
        raise Refused(BAD_PARAMETERS, "Give /{country_code}/{party_id}/{location_id}[/{evse_uid}[/{connector_id}]].")
    verbs: dict[str, Callable[[Call], Answer]] = {
        "GET": _get_location, "PUT": _put_location, "PATCH": _patch_location,
    }  # fmt: skip
    if call.method not in verbs:
        raise Refused(CLIENT_ERROR, f"{call.method} is not offered here.", 405)
    if call.method != "GET" and not services.is_push_noted(call.source.last_push_at, call.at):
        services.push_received(source_id=call.source.pk, at=call.at)
    return verbs[call.method](call)


def _get_location(call: Call) -> Answer:
    location_key = key(*call.path[:3])
    if len(call.path) == 3:
        location = services.find_location(call.source, location_key)
        return Answer(location_out(location, call.path[2])) if location else _not_found()
    evse = services.find_evse(call.source, f"{location_key}*{call.path[3]}")
    if evse is None:
        return _not_found()
    if len(call.path) == 4:
        return Answer(evse_out(evse))
    connector = evse.connectors.filter(external_id__iexact=call.path[4]).first()
    return Answer(connector_out(connector)) if connector else _not_found()


def _not_found() -> Answer:
    return Answer(None, UNKNOWN_LOCATION, "Unknown location.", 404)


def _put_location(call: Call) -> Answer:
    return (_put_site, _put_evse, _put_connector)[len(call.path) - 3](call)


def _put_site(call: Call) -> Answer:
    location = LocationIn.model_validate(call.body)
    _same((location.country_code, location.party_id, location.id), call.path)
    is_new = services.find_location(call.source, key(*call.path)) is None
    take_location(call.source, location, call.at)
    return Answer(http=201 if is_new else 200)


def _put_evse(call: Call) -> Answer:
    evse = EvseIn.model_validate(call.body)
    _same((evse.uid,), call.path[3:])
    site_key = key(*call.path[:3])
    site = services.find_location(call.source, site_key)
    if site is None:
        return _fetch_it(call)
    is_new = services.find_evse(call.source, f"{site_key}*{evse.uid}") is None
    services.upsert_evse(source=call.source, location=site, doc=evse.doc(), key=site_key, at=call.at)
    return Answer(http=201 if is_new else 200)


def _put_connector(call: Call) -> Answer:
    connector = ConnectorIn.model_validate(call.body)
    _same((connector.id,), call.path[4:])
    evse_key = _evse_key(call)
    evse = services.find_evse(call.source, evse_key)
    if evse is None:
        return _fetch_it(call)
    is_new = not evse.connectors.filter(external_id__iexact=connector.id).exists()
    services.upsert_connector(
        source=call.source, evse=evse, doc=connector.doc(), key=evse_key, updated_at=_stamp(call), at=call.at
    )
    return Answer(http=201 if is_new else 200)


def _patch_location(call: Call) -> Answer:
    at = _stamp(call)
    if len(call.path) == 4 and "status" in call.body:
        return _patch_status(call, at)
    return (_patch_site, _patch_evse, _patch_connector)[len(call.path) - 3](call)


def _patch_site(call: Call) -> Answer:
    """Only what is named changes; EVSEs that are named replace all we had."""
    site = services.find_location(call.source, key(*call.path))
    if site is None:
        return _fetch_it(call)
    merged = LocationIn.model_validate({**location_out(site, call.path[2]), **call.body})
    _same((merged.country_code, merged.party_id, merged.id), call.path)
    if "evses" in call.body or not merged.publish:
        take_location(call.source, merged, call.at)
    else:
        services.update_location(source=call.source, doc=merged.doc(), at=call.at)
    return Answer()


def _patch_evse(call: Call) -> Answer:
    evse = services.find_evse(call.source, _evse_key(call))
    if evse is None:
        return _fetch_it(call)
    doc = EvseIn.model_validate({**evse_out(evse), **call.body, "uid": evse.uid}).doc()
    doc = doc if "status" in call.body or evse.is_removed else replace(doc, raw_status="")
    services.upsert_evse(source=call.source, location=evse.location, doc=doc, key=key(*call.path[:3]), at=call.at)
    return Answer()


def _patch_connector(call: Call) -> Answer:
    evse = services.find_evse(call.source, _evse_key(call))
    held = evse.connectors.filter(external_id__iexact=call.path[4]).first() if evse else None
    if evse is None or held is None:
        return _fetch_it(call)
    merged = ConnectorIn.model_validate({**connector_out(held), **call.body, "id": held.external_id})
    services.upsert_connector(
        source=call.source, evse=evse, doc=merged.doc(), key=_evse_key(call), updated_at=_stamp(call), at=call.at
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
        return _fetch_it(call)
    return _patch_evse(call) if set(call.body) - {"status", "last_updated"} else Answer()


def _evse_key(call: Call) -> str:
    return f"{key(*call.path[:3])}*{call.path[3]}"


def _same(inside: tuple[str, ...], address: tuple[str, ...]) -> None:
    """Ids compare without case (CiString)."""
    if [part.lower() for part in inside] != [part.lower() for part in address]:
        raise Refused(BAD_PARAMETERS, "The ids in the address differ from those in the body.")


def _stamp(call: Call) -> datetime:
    body = call.body if isinstance(call.body, dict) else {}
    at = as_utc(body.get("last_updated"))
    if not isinstance(at, datetime):
        raise Refused(BAD_PARAMETERS, f"A {call.method} carries last_updated, an instant.")
    return at


def _fetch_it(call: Call) -> Answer:
    """The answer says that we do not know it; the site is fetched from the CPO meanwhile."""
    return Answer(None, UNKNOWN_LOCATION, "Unknown location; we will fetch it.", fetch=call.path[2])


# --- tariffs ----------------------------------------------------------------------------------------------------
def tariffs(call: Call) -> Answer:
    if len(call.path) != 3:
        raise Refused(BAD_PARAMETERS, "Give /{country_code}/{party_id}/{tariff_id}.")
    tariff_id = call.path[2]
    if call.method == "PUT":
        _same((str(call.body.get("id", "")) if isinstance(call.body, dict) else "",), (tariff_id,))
        take_tariff(call.source, call.body, call.at)
        return Answer()
    if call.method == "DELETE":
        services.withdraw_tariff(source=call.source, external_id=tariff_id, at=call.at)
        return Answer()
    if call.method != "GET":
        raise Refused(CLIENT_ERROR, f"{call.method} is not offered here.", 405)
    current = Tariff.objects.filter(source=call.source, external_id__lower=tariff_id.lower(), valid_to=None).first()
    return Answer(tariff_out(current, call.path[:2])) if current else Answer(None, CLIENT_ERROR, "Unknown tariff.", 404)


# --- command results --------------------------------------------------------------------------------------------
def command_result(kind: str, token: str, body: Any, at: datetime) -> Answer:
    """The asynchronous result at the address only this command knows; it lives until the reservation ends."""
    digest = crypto.keyed_hash(token, purpose=RESULT_PURPOSE)
    command = CPOCommand.objects.filter(response_token_hash=digest, kind=kind).first()
    if command is None:
        return Answer(None, CLIENT_ERROR, "Unknown command.", 404)
    try:
        result = CommandResultIn.model_validate(body)
    except ValidationError:
        return Answer(None, BAD_PARAMETERS, "A CommandResult carries a result.")
    _finish(command, result, at)
    return Answer()


def _finish(command: CPOCommand, result: Wire, at: datetime) -> None:
    word = str(getattr(result, "result", ""))
    states = {"ACCEPTED": CPOCommand.State.ACCEPTED, "FAILED": CPOCommand.State.FAILED,
              "TIMEOUT": CPOCommand.State.TIMED_OUT, "CANCELED_RESERVATION": CPOCommand.State.CANCELLED}  # fmt: skip
    state = states.get(word, CPOCommand.State.REJECTED)
    services.finish_cpo_command(
        command_id=command.pk, state=state, reason=word[:120], at=at, result=result.model_dump(mode="json")
    )


MODULES: dict[str, Callable[[Call], Answer]] = {
    "versions": versions,
    "details": version_details,
    "credentials": credentials,
    "locations": locations,
    "tariffs": tariffs,
}
