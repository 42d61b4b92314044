"""Money that reached our bank outside of the gateway: one operator says so, another has seen it on the statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.models import LedgerTransfer, Wallet
from billing.services import wallets
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND, SUBJECT = "top_up", "utr:"
LIVE = (Approval.State.ASKED, Approval.State.APPROVED, Approval.State.FREE)


@transaction.atomic
def ask(
    *, organisation_id: int, amount_paise: int, reference: str, asked_by: User, reason: str, now: datetime
) -> Approval:
    """Credit a transfer by the bank's reference, which is credited once.

    Raises ValueError for an amount that is not positive, Conflict when the reference is credited or waits already, for
    this fleet or any other: a bank names a transfer once.
    """
    if amount_paise <= 0:
        raise ValueError("A top-up must be positive.")
    wallet = Wallet.objects.select_related("organisation").get(organisation_id=organisation_id)
    reference = reference.strip()
    if LedgerTransfer.objects.filter(entry_key=_entry(organisation_id, reference)).exists():
        raise Conflict("This reference was credited already.", code="credited_already")
    subject = f"{SUBJECT}{reference}"[:120]
    _refuse_twice(subject, Approval.objects.all())
    return services.ask(
        kind=KIND, organisation_id=organisation_id, subject=subject, asked_by=asked_by, reason=reason,
        title=f"Credit {format_inr(amount_paise)} to {wallet.organisation} ({reference})", now=now,
        amount_paise=amount_paise, facts={"reference": reference, "before": {"posted_paise": wallet.posted_paise}},
    )  # fmt: skip


def _entry(organisation_id: int, reference: str) -> str:
    return f"topup:{organisation_id}:{reference}"


def _refuse_twice(subject: str, rows: QuerySet[Approval]) -> None:
    """One transfer is one fleet's money. Who asks or decides about the same reference elsewhere waits for us."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [subject.lower()])
    same = rows.filter(kind=KIND, subject__iexact=subject, state__in=LIVE).select_related("organisation").first()
    if same is None:
        return
    if same.state == Approval.State.ASKED:
        raise Conflict(f"This reference waits already, for {same.organisation}.", code="already_asked")
    raise Conflict(f"This reference was credited already, to {same.organisation}.", code="credited_already")


def _credit(approval: Approval, decided_by: User, now: datetime) -> str:
    reference = approval.facts["reference"]
    _refuse_twice(approval.subject, Approval.objects.exclude(pk=approval.pk).exclude(state=Approval.State.ASKED))
    is_new = wallets.top_up(
        organisation_id=approval.organisation_id, amount_paise=approval.amount_paise, key=reference, at=now,
        actor=decided_by, reason=approval.reason,
    )  # fmt: skip
    if not is_new:
        raise Conflict("This reference was credited already.", code="credited_already")
    return _entry(approval.organisation_id, reference)


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    before = approval.facts["before"]["posted_paise"]
    return [(_("Balance"), format_inr(before), format_inr(before + approval.amount_paise))]


services.register(services.Kind(KIND, _("Top-up by hand"), _credit, is_ours=True, shown=_shown))
