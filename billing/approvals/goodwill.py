"""A credit note of goodwill: what is left of an invoice, or a part of it, goes back once two operators have said so."""

from collections.abc import Mapping, Sequence
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


def ask(*, document_id: int, asked_by: User, reason: str, now: datetime, amount_paise: int | None = None) -> Approval:
    """Give back so much of an invoice, tax included, or all that is left of it.

    The wish names what it comes to: a paisa or two beside the amount, where no taxable value has just this tax. A part
    is never free: the same click again would give it twice. Raises ValueError for an amount that is not positive,
    Conflict when less is left, or it waits already.
    """
    document = TaxDocument.objects.select_related("organisation", "supplier").get(
        pk=document_id, kind=TaxDocument.Kind.INVOICE
    )
    whole = _comes_to(left.of(document), None)
    if not whole:
        raise Conflict("Nothing is left of this invoice.", code="nothing_left")
    lines = _lines(document, amount_paise, whole)
    paise = _comes_to(left.of(document), lines)
    return services.ask(
        kind=KIND, organisation_id=document.organisation_id, subject=f"document:{document.pk}",
        title=f"Credit {format_inr(paise)} of {document.number} to {document.organisation}", asked_by=asked_by,
        reason=reason, now=now, amount_paise=paise, may_be_free=lines is None, facts={
            "document_id": document.pk, "lines": lines, "before": {"left_paise": whole},
            "after": {"left_paise": whole - paise},
        },
    )  # fmt: skip


def _lines(document: TaxDocument, amount_paise: int | None, whole: int) -> dict[int, int] | None:
    """Line id -> taxable paise; None: all that is left."""
    if amount_paise is None or amount_paise == whole:
        return None
    if amount_paise <= 0:
        raise ValueError("Only an amount above zero can be given back.")
    if amount_paise > whole:
        raise Conflict(f"Only {format_inr(whole)} are left of this invoice.", code="more_than_left")
    return left.of(document).part(amount_paise)


def _comes_to(room: left.Left, lines: Mapping[int, int] | None) -> int:
    """With tax and round-off, as the note would say; 0 when nothing is left. Raises Conflict when less is."""
    wanted = {pk: paise for pk, paise in (room.everything() if lines is None else lines).items() if paise}
    taken = room.take(wanted) if wanted else []
    return int(
        sum(paise + heads.total_paise for _, paise, heads in taken) + (room.round_off_paise(taken) if taken else 0)
    )


def _credit(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when other notes have changed what is left, or it is too late for a credit note."""
    document = TaxDocument.objects.select_for_update(of=("self",)).get(pk=approval.facts["document_id"])
    stored = approval.facts.get("lines")
    lines = None if stored is None else {int(pk): paise for pk, paise in stored.items()}
    if _comes_to(left.of(document), lines) != approval.amount_paise:
        raise Conflict("Another amount is left of this invoice by now.", code="changed_meanwhile")
    note = notes.credit(
        document_id=document.pk, taxable_by_line=lines, reason=approval.reason, at=now, actor=decided_by,
        request_key=f"approval:{approval.pk}",
    )  # fmt: skip
    return note.number


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    before, after = (approval.facts[moment]["left_paise"] for moment in ("before", "after"))
    return [(_("Left of the invoice"), format_inr(before), format_inr(after))]


services.register(services.Kind(KIND, _("Goodwill"), _credit, is_ours=True, shown=_shown))
