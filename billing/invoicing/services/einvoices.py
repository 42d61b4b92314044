"""Documents at the e-invoice portal: registered once, compared when somebody was there before, cancelled in time."""

import base64
import json
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from billing.gst import inv01, irn
from billing.gst.numbering import day_in_india
from billing.invoicing.irp.base import TOO_OLD, Portal, PortalError, PortalUnavailable, Refused, Registered
from billing.invoicing.models import EInvoice, OrganisationRegistration, SupplierRegistration, TaxDocument
from billing.invoicing.services import letters
from billing.invoicing.services.rules import Name, Rules
from billing.models import BillingException
from billing.services.exceptions import open_exception, withdraw_one
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

logger = logging.getLogger(__name__)
State = EInvoice.State
UNREGISTERED = BillingException.Kind.E_INVOICE
ENDED = (State.FAILED, State.TOO_LATE)
ADDRESS = ("address", "city", "pin_code")
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=2)
LEASE = timedelta(minutes=5)
REASONS = {"1": "Duplicate", "2": "Data entry mistake", "3": "Order cancelled", "4": "Others"}


def payload_of(document: TaxDocument) -> dict[str, Any]:
    """INV-01 of an issued document; raises inv01.NotReportable."""
    original, recipient = document.original, document.registration
    return inv01.payload(inv01.Document(
        kind=irn.KINDS[document.kind], number=document.number, dated_on=document.dated_on,
        supply_kind=document.supply_kind, supplier=_completed(document.supplier_facts, document.supplier),
        recipient=_completed(document.recipient_facts, recipient) if recipient else document.recipient_facts,
        place_of_supply=document.place_of_supply, round_off_paise=document.round_off_paise,
        total_paise=document.total_paise, original=(original.number, original.dated_on) if original else None,
        lines=[
            inv01.Line(
                line.description, line.sac_code, line.quantity, line.rate_percent, line.taxable_paise,
                line.cgst_paise, line.sgst_paise, line.igst_paise,
            )
            for line in document.lines.order_by("position")
        ],
    ))  # fmt: skip


def _completed(facts: dict[str, Any], row: SupplierRegistration | OrganisationRegistration) -> dict[str, Any]:
    """The document stays as it was issued; what its party's address lacked then the portal is told from today's."""
    missing = [name for name in ADDRESS if not facts[name]] if facts["gstin"] == row.gstin else []
    return facts | {name: getattr(row, name) for name in missing}


def due(*, now: datetime) -> QuerySet[EInvoice]:
    return EInvoice.objects.filter(state=State.PENDING, next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


def report(*, e_invoice_id: int, portal: Portal, now: datetime) -> bool:
    """One attempt, outside any transaction; False when it is not due, or has to be tried again."""
    claimed = due(now=now).filter(pk=e_invoice_id).update(next_attempt_at=now + LEASE)
    if not claimed:
        return False
    related = ("document__supplier", "document__registration", "document__original")
    row = EInvoice.objects.select_related(*related).get(pk=e_invoice_id)
    limit = Rules(row.document.dated_on).number(Name.IRN_DAYS)
    if (day_in_india(now) - row.document.dated_on).days > limit:
        return _end(row, State.TOO_LATE, f"Older than {limit} days.", now)
    try:
        payload = payload_of(row.document)
        registered = _register(portal, payload)
    except inv01.NotReportable as error:
        return _end(row, State.FAILED, str(error), now)
    except Refused as error:
        return _end(row, State.TOO_LATE if error.code == TOO_OLD else State.FAILED, str(error), now)
    except PortalUnavailable as error:
        return _later(row, str(error), now)
    if registered.irn != row.predicted_irn:
        return _end(row, State.FAILED, f"The portal's IRN {registered.irn} is not the one of this document.", now)
    return _keep(row, registered, now)


def sweep(*, portal: Portal, now: datetime, limit: int = 100) -> int:
    """What an event missed, and what has to be tried again; returns how many are registered now."""
    done = 0
    for pk in list(due(now=now).values_list("pk", flat=True)[:limit]):
        try:
            done += report(e_invoice_id=pk, portal=portal, now=now)
        except Exception:
            logger.exception("e-invoice %s could not be reported", pk)
    return done


def try_again(*, e_invoice_id: int, now: datetime, actor: User | None, reason: str) -> bool:
    """After a refusal, when what it complained of was mended, or the rule about its age; False in any other state."""
    changed = EInvoice.objects.filter(pk=e_invoice_id, state__in=ENDED).update(
        state=State.PENDING, next_attempt_at=now, attempts=0
    )
    if changed:
        row = EInvoice.objects.select_related("document__organisation").get(pk=e_invoice_id)
        audit(action="try_again", target=row, actor=actor, reason=reason, organisation=row.document.organisation)
    return bool(changed)


def cancel(
    *, e_invoice_id: int, portal: Portal, reason_code: str, remark: str, now: datetime, actor: User | None
) -> None:
    """Within the hours that the portal gives; the document itself keeps its number, a credit note corrects it.

    Raises Conflict when it is not registered, too late, or refused.
    """
    row = EInvoice.objects.select_related("document__organisation").get(pk=e_invoice_id)
    hours = Rules(row.document.dated_on).number(Name.IRN_CANCEL_HOURS)
    if row.state != State.REGISTERED or row.ack_at is None:
        raise Conflict("It is not registered.", code="not_registered")
    if now - row.ack_at > timedelta(hours=hours):
        raise Conflict(f"An IRN can be cancelled within {hours} hours; issue a credit note.", code="too_late")
    try:
        cancelled_at = portal.cancel(row.irn, reason_code=reason_code, remark=remark[:100])
    except PortalError as error:
        raise Conflict(str(error), code="portal") from error
    with transaction.atomic():
        EInvoice.objects.filter(pk=row.pk).update(
            state=State.CANCELLED, cancelled_at=cancelled_at, cancel_reason=remark[:100]
        )
        audit(action="cancel_irn", target=row, actor=actor, reason=remark, organisation=row.document.organisation)


def _register(portal: Portal, payload: dict[str, Any]) -> Registered:
    """A duplicate is ours when what the portal signed has our figures; else somebody used the number."""
    try:
        return portal.register(payload)
    except Refused as error:
        if not error.duplicate_irn:
            raise
        known = portal.fetch(error.duplicate_irn)
        if known.is_cancelled or not _is_same(known, payload):
            raise Refused(error.code, "The number is registered with other content.") from error
        return known


def _is_same(known: Registered, payload: dict[str, Any]) -> bool:
    signed = _content(known.signed_qr)
    return bool(
        signed.get("SellerGstin") == payload["SellerDtls"]["Gstin"]
        and signed.get("BuyerGstin") == payload["BuyerDtls"]["Gstin"]
        and signed.get("DocDt") == payload["DocDtls"]["Dt"]
        and signed.get("TotInvVal") == payload["ValDtls"]["TotInvVal"]
    )


def _content(token: str) -> dict[str, Any]:
    """What a signed QR code says; {} for what is none."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        content = json.loads(claims["data"])
    except (IndexError, KeyError, TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@transaction.atomic
def _keep(row: EInvoice, told: Registered, now: datetime) -> bool:
    EInvoice.objects.filter(pk=row.pk).update(
        state=State.REGISTERED, irn=told.irn, ack_number=told.ack_number, ack_at=told.ack_at,
        signed_qr=told.signed_qr, signed_invoice=told.signed_invoice, attempts=row.attempts + 1, last_error="",
        next_attempt_at=None,
    )  # fmt: skip
    for exception in BillingException.objects.open().filter(kind=UNREGISTERED, reference=_cause(row)):
        withdraw_one(exception, resolution="It is registered now.", at=now)
    letters.expect([row.document], now=now)
    return True


def _later(row: EInvoice, error: str, now: datetime) -> bool:
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts, 10), LONGEST_PAUSE)
    EInvoice.objects.filter(pk=row.pk).update(
        attempts=row.attempts + 1, last_error=error[:500], next_attempt_at=now + pause
    )
    return False


@transaction.atomic
def _end(row: EInvoice, state: str, error: str, now: datetime) -> bool:
    """Put before the operators, whose duty it is; the letter about the document waits for its IRN unless none comes."""
    EInvoice.objects.filter(pk=row.pk).update(
        state=state, last_error=error[:500], attempts=row.attempts + 1, next_attempt_at=None
    )
    open_exception(
        organisation_id=None, kind=UNREGISTERED, reference=_cause(row), at=now, amount_paise=row.document.total_paise,
        title=f"{row.document} has no IRN: {error}", details={"document": row.document_id},
    )  # fmt: skip
    if state == State.TOO_LATE:
        letters.expect([row.document], now=now)
    return False


def _cause(row: EInvoice) -> str:
    return f"e-invoice:{row.document_id}"
