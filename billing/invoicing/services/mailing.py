"""A document by e-mail, to the address of its registration, else to the fleet's owners and finance."""

from datetime import datetime
from typing import Any

from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from billing.invoicing import files
from billing.invoicing.models import TaxDocument
from billing.invoicing.services import letters
from billing.jobs import engine
from billing.notices import writing
from billing.notices.models import Letter
from billing.services import ledger
from fleetcharge.accounts.models import Membership, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.money import format_inr

READERS = (Membership.Role.OWNER, Membership.Role.FINANCE)


def addresses_of(document: TaxDocument) -> list[str]:
    if document.registration is not None and document.registration.email:
        return [document.registration.email]
    people = Membership.objects.filter(organisation=document.organisation_id, role__in=READERS, user__is_active=True)
    return sorted({email for email in people.values_list("user__email", flat=True) if email})


def announce(*, document_id: int, now: datetime) -> int:
    """Letters about a new document, once however often it is asked for; returns how many."""
    row = TaxDocument.objects.select_related("registration", "original").get(pk=document_id)
    facts = {
        "id": row.pk, "kind": row.kind, "number": row.number, "dated_on": row.dated_on.isoformat(),
        "total_paise": row.total_paise, "sessions": row.annexure_rows, "recipient": row.recipient_facts["legal_name"],
        "original": row.original.number if row.original else "", "owed_paise": _owed(row),
    }  # fmt: skip
    return writing.write(
        organisation_id=row.organisation_id, kind=Letter.Kind.INVOICE_ISSUED, key=f"document:{row.pk}", facts=facts,
        now=now, address=row.registration.email if row.registration else "",
    )  # fmt: skip


def _owed(document: TaxDocument) -> int:
    """What the fleet owes beyond its wallet by now."""
    return max(0, ledger.balance_paise(ledger.receivable_code(document.organisation_id)))


@engine.does(letters.JOB)
def announce_as_expected(key: str, now: datetime) -> None:
    announce(document_id=int(key), now=now)


def send(*, document_id: int, actor: User | None = None) -> list[str]:
    """Now, because a person wants it so, though it was sent before; with its PDF and an invoice's sessions as CSV.

    Returns to whom. Outside any transaction.
    """
    document = TaxDocument.objects.select_related(
        "organisation", "registration", "original", "month", "e_invoice", "supplier"
    ).get(pk=document_id)  # fmt: skip
    addresses = addresses_of(document)
    if not addresses:
        return []
    subject = _("%(kind)s %(number)s of %(amount)s") % {
        "kind": document.get_kind_display(), "number": document.number, "amount": format_inr(document.total_paise),
    }  # fmt: skip
    said: dict[str, Any] = {"document": document, "amount": format_inr(document.total_paise)}
    if owed_paise := _owed(document):
        said["owed"] = format_inr(owed_paise)
    text = render_to_string("emails/tax_document.txt", said)
    message = EmailMessage(subject=subject[:150], body=text, to=addresses)
    for form in ("pdf", "csv") if document.annexure_rows else ("pdf",):
        file = files.OF_A_DOCUMENT[form](document)
        message.attach(file.name, file.read(), file.content_type.partition(";")[0])
    message.send()
    audit(action="mail", target=document, actor=actor, after={"to": addresses})
    return addresses
