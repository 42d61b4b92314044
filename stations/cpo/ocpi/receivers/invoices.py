"""Module `invoicereconciliation` (2.3.0), receiver: which of our CDRs an invoice is about."""

from stations.cpo.ocpi.models import PeerDocument
from stations.cpo.ocpi.objects.base import key
from stations.cpo.ocpi.objects.bookings import InvoiceRecordIn
from stations.cpo.ocpi.receivers.base import CLIENT_ERROR, Answer, Call, Handler, note_push, owned_path, pick, same
from stations.services import roaming

KIND = PeerDocument.Kind.INVOICE


def invoicereconciliation(call: Call) -> Answer:
    """POST at the module's address; GET, PUT and DELETE at /{country_code}/{party_id}/{id}."""
    if call.method != "GET":
        note_push(call)
    if not call.path:
        return pick(call, {"POST": _keep})
    owned_path(call, "id")
    verbs: dict[str, Handler] = {"GET": _show, "PUT": _keep, "DELETE": _drop}
    return pick(call, verbs)


def _keep(call: Call) -> Answer:
    record = InvoiceRecordIn.model_validate(call.body)
    if call.path:
        same((record.country_code, record.party_id, record.id), call.path)
    _, outcome = roaming.keep_document(
        source=call.source, kind=KIND, document_key=record.key, raw=call.body, updated_at=record.last_updated,
        at=call.at, reference=record.invoice_id, cdr_ids=record.cdrs,
    )  # fmt: skip
    return Answer(http=201 if outcome == roaming.NEW else 200)


def _show(call: Call) -> Answer:
    held = roaming.find_document(call.source, KIND, key(*call.path))
    return Answer(held.raw) if held else _unknown()


def _drop(call: Call) -> Answer:
    dropped = roaming.drop_document(source=call.source, kind=KIND, document_key=key(*call.path), at=call.at)
    return Answer() if dropped else _unknown()


def _unknown() -> Answer:
    return Answer(None, CLIENT_ERROR, "Unknown record.", 404)
