"""What a CPO may call at ours, module by module. Pure request in, OCPI answer out."""

from django.db import DataError, IntegrityError
from pydantic import ValidationError

from stations.cpo.ocpi.receivers.base import BAD_PARAMETERS, CLIENT_ERROR, Answer, Call, Handler, Refused
from stations.cpo.ocpi.receivers.bookings import bookings
from stations.cpo.ocpi.receivers.cdrs import cdrs
from stations.cpo.ocpi.receivers.handshake import credentials, details, versions
from stations.cpo.ocpi.receivers.hub import hubclientinfo
from stations.cpo.ocpi.receivers.invoices import invoicereconciliation
from stations.cpo.ocpi.receivers.locations import locations
from stations.cpo.ocpi.receivers.profiles import chargingprofiles
from stations.cpo.ocpi.receivers.results import command_result
from stations.cpo.ocpi.receivers.sessions import sessions
from stations.cpo.ocpi.receivers.statuses import answer_statuses, status_in
from stations.cpo.ocpi.receivers.tariffs import tariffs
from stations.cpo.ocpi.receivers.tokens import tokens

HANDSHAKE: dict[str, Handler] = {"versions": versions, "details": details, "credentials": credentials}
FUNCTIONAL: dict[str, Handler] = {
    "locations": locations,
    "tariffs": tariffs,
    "sessions": sessions,
    "cdrs": cdrs,
    "tokens": tokens,
    "chargingprofiles": chargingprofiles,
    "hubclientinfo": hubclientinfo,
    "bookings": bookings,
    "invoicereconciliation": invoicereconciliation,
}

__all__ = ["FUNCTIONAL", "HANDSHAKE", "Answer", "Call", "answer_statuses", "command_result", "handle", "status_in"]


def handle(module: str, call: Call) -> Answer:
    """Route one call; never raises for what a peer can send."""
    handler = HANDSHAKE.get(module) or (FUNCTIONAL.get(module) if module in call.dialect.modules else None)
    if handler is None:
        return Answer(None, CLIENT_ERROR, f"There is no module {module}.", 404)
    try:
        return handler(call)
    except Refused as refused:
        return refused.answer
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return Answer(None, BAD_PARAMETERS, f"{place}: {first['msg']}"[:255])
    except (ValueError, TypeError, ArithmeticError, IntegrityError, DataError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        return Answer(None, BAD_PARAMETERS, f"Not usable: {why}"[:255])
