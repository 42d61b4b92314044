"""Credit notes after their last day (rule `note_until`): who keeps our books says of each that it is right so."""

from collections.abc import Sequence
from datetime import datetime

from billing.invoicing.models import TaxDocument
from billing.invoicing.services.deadlines import note_until
from billing.invoicing.services.rules import Rules
from billing.models import BillingException
from billing.services.exceptions import open_exception, resolve_exception
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict

LATE = BillingException.Kind.LATE_NOTE


def ask(documents: Sequence[TaxDocument]) -> None:
    """Put those of them that came too late before our operators, in the transaction that issues them."""
    for note in documents:
        if note.kind == TaxDocument.Kind.CREDIT_NOTE and note.original is not None and note.total_paise:
            _ask(note, note.original)


def _ask(note: TaxDocument, original: TaxDocument) -> None:
    last = note_until(original, Rules(note.dated_on))
    if note.dated_on > last:
        open_exception(
            organisation_id=None, kind=LATE, reference=_cause(note.pk), at=note.issued_at,
            amount_paise=note.total_paise, details={"document": note.pk, "tax_paise": note.tax_paise},
            title=f"{note.number} of {note.dated_on} came after {last}, the last day for {original.number}",
        )  # fmt: skip


def question_about(document_id: int) -> BillingException | None:
    """Open, or with who confirmed it, when and why; None for a note in time."""
    asked = BillingException.objects.filter(organisation=None, kind=LATE, reference=_cause(document_id))
    return asked.select_related("resolved_by").order_by("pk").last()


def confirm(*, document_id: int, actor: User, reason: str, at: datetime) -> BillingException:
    """Raises Conflict when nothing (any more) is to be confirmed, ValueError without a reason."""
    question = question_about(document_id)
    if question is None:
        raise Conflict("This document did not come too late.", code="not_late")
    return resolve_exception(exception_id=question.pk, actor=actor, reason=reason, at=at)


def _cause(document_id: int) -> str:
    return f"late-note:{document_id}"
