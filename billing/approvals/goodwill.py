"""A credit note of goodwill: what is left of an invoice goes back to the wallet once two operators have said so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.invoicing.models import TaxDocument
from billing.invoicing.services import left, notes
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND = "goodwill"


def ask(*, document_id: int, asked_by: User, reason: str, now: datetime) -> Approval:
    """Give back all that is left of an invoice. Raises Conflict when nothing is, or it waits already."""
    document = TaxDocument.objects.select_related("organisation", "supplier").get(
        pk=document_id, kind=TaxDocument.Kind.INVOICE
    )
    paise = _left(document)
    if not paise:
        raise Conflict("Nothing is left of this invoice.", code="nothing_left")
    return services.ask(
        kind=KIND, organisation_id=document.organisation_id, subject=f"document:{document.pk}",
        title=f"Credit {format_inr(paise)} of {document.number} to {document.organisation}", asked_by=asked_by,
        reason=reason, now=now, amount_paise=paise,
        facts={"document_id": document.pk, "before": {"left_paise": paise}, "after": {"left_paise": 0}},
    )  # fmt: skip


def _left(document: TaxDocument) -> int:
    """With tax and round-off, as the note would say."""
    room = left.of(document)
    lines = room.take({pk: paise for pk, paise in room.everything().items() if paise})
    heads = sum(share.total_paise for _, _, share in lines)
    return int(sum(paise for _, paise, _ in lines) + heads + room.round_off_paise(lines))


def _credit(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when other notes have changed what is left, or it is too late for a credit note."""
    document = TaxDocument.objects.select_for_update(of=("self",)).get(pk=approval.facts["document_id"])
    if _left(document) != approval.amount_paise:
        raise Conflict("Another amount is left of this invoice by now.", code="changed_meanwhile")
    note = notes.credit(
        document_id=document.pk, taxable_by_line=None, reason=approval.reason, at=now, actor=decided_by,
        request_key=f"approval:{approval.pk}",
    )  # fmt: skip
    return note.number


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    return [(_("Left of the invoice"), format_inr(approval.amount_paise), format_inr(0))]


services.register(services.Kind(KIND, _("Goodwill"), _credit, is_ours=True, shown=_shown))
