"""A receivable that will not be paid is written off: the loss is booked once two people have said so.

Why stays in the wish, among operators: its fleet reads the ledger and its questions.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.models import Wallet
from billing.services import exceptions, ledger
from billing.services.ledger import Dimensions, Leg
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

WRITE_OFF = "write_off"
LOSS = "writeoff"


def ask(
    *,
    organisation_id: int,
    amount_paise: int,
    asked_by: User,
    reason: str,
    now: datetime,
    exception_id: int | None = None,
) -> Approval:
    """Ask to write off a part of what an organisation owes beyond its wallet; `exception_id` is resolved with it.

    Raises ValueError for more than it owes.
    """
    owed = ledger.balance_paise(ledger.receivable_code(organisation_id))
    if not 0 < amount_paise <= owed:
        raise ValueError("More than is owed.")
    name = Organisation.objects.values_list("name", flat=True).get(pk=organisation_id)
    return services.ask(
        kind=WRITE_OFF, organisation_id=organisation_id, subject=f"receivable:{organisation_id}",
        title=f"Write off {format_inr(amount_paise)} of what {name} owes", asked_by=asked_by, reason=reason, now=now,
        amount_paise=amount_paise, facts={
            "exception_id": exception_id, "before": {"owed_paise": owed}, "after": {"owed_paise": owed - amount_paise},
        },
    )  # fmt: skip


def _book(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when less is owed by now, e.g. because a top-up paid it off meanwhile."""
    code = ledger.receivable_code(approval.organisation_id)
    wallets = Wallet.objects.filter(organisation_id=approval.organisation_id)
    wallets.select_for_update().first()  # as a top-up does that pays it off
    owed = ledger.balance_paise(code)
    if owed < approval.amount_paise:
        raise Conflict("Less than that is owed by now.", code="not_owed")
    key = f"write-off:{approval.pk}"
    ledger.post(
        entry_key=key, legs=[Leg(LOSS, code, approval.amount_paise, WRITE_OFF, f"Wish {approval.pk}")],
        occurred_at=now, about=Dimensions(organisation_id=approval.organisation_id), actor=str(decided_by),
    )  # fmt: skip
    if owed == approval.amount_paise:
        wallets.filter(state=Wallet.State.HOLD_ONLY).update(state=Wallet.State.ACTIVE)
    if exception_id := approval.facts.get("exception_id"):
        _resolve(exception_id, approval, decided_by, now)
    return key


def _resolve(exception_id: int, approval: Approval, decided_by: User, now: datetime) -> None:
    try:
        exceptions.resolve_exception(exception_id=exception_id, actor=decided_by, reason="Written off.", at=now)
    except Conflict:
        return  # somebody has decided it meanwhile; the loss is a loss all the same


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    owed = int(approval.facts.get("before", {}).get("owed_paise", approval.amount_paise))
    return [(_("Owed"), format_inr(owed), format_inr(owed - approval.amount_paise))]


services.register(services.Kind(WRITE_OFF, _("Write-off"), _book, is_ours=True, shown=_shown))
