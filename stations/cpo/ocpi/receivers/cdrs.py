"""Module `cdrs`, receiver: final records, kept for good, each at an address of its own."""

from django.conf import settings

from stations.cpo.ocpi.models import RoamingCDR
from stations.cpo.ocpi.objects.cdrs import CdrIn
from stations.cpo.ocpi.receivers.base import (
    BAD_PARAMETERS,
    CLIENT_ERROR,
    Answer,
    Call,
    Handler,
    Refused,
    note_push,
    pick,
)
from stations.services import roaming


def cdrs(call: Call) -> Answer:
    """POST at the module's address, GET at the Location that the POST answered; nothing ever changes."""
    if len(call.path) > 1:
        return Answer(None, CLIENT_ERROR, "There is nothing at this address.", 404)
    verbs: dict[str, Handler] = {"GET": _show} if call.path else {"POST": _post}
    return pick(call, verbs)


def _show(call: Call) -> Answer:
    held = RoamingCDR.objects.filter(source=call.source, public_id=call.path[0]).first()
    return Answer(held.raw) if held else Answer(None, CLIENT_ERROR, "Unknown CDR.", 404)


def _post(call: Call) -> Answer:
    """The same again is answered with the same Location; another content under the id is refused (2001)."""
    note_push(call)
    cdr = read_cdr(call.read("cdr"))
    row, outcome = roaming.take_cdr(source=call.source, cdr=cdr, raw=call.body, at=call.at)
    if outcome == roaming.CONFLICT:
        raise Refused(BAD_PARAMETERS, f"We hold another CDR {cdr.id}; a correction is a credit CDR and a fresh one.")
    location = f"{settings.PUBLIC_BASE_URL}/ocpi/{call.version}/emsp/cdrs/{row.public_id}"
    return Answer(http=201 if outcome == roaming.NEW else 200, headers={"Location": location})


def read_cdr(raw: object) -> CdrIn:
    """A CDR whose facts hold together; raises ValueError for a credit that gives nothing back or names nothing."""
    cdr = CdrIn.model_validate(raw)
    if cdr.end_date_time < cdr.start_date_time:
        raise ValueError("end_date_time is before start_date_time")
    if cdr.credit and not cdr.credit_reference_id:
        raise ValueError("a credit CDR carries credit_reference_id")
    if cdr.credit and cdr.total_cost.before_taxes > 0:
        raise ValueError("the total_cost of a credit CDR is negative")
    return cdr
