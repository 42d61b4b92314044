"""A session that is not billed gives its money back: what was charged for it is taken back once two people said so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.models import CDR, ChargingSession, ReconciliationVerdict
from billing.reconciliation import storing
from billing.services import adjustments
from fleetcharge.accounts.models import User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND = adjustments.CHARGE_BACK
Outcome = ReconciliationVerdict.Outcome


def ask(*, verdict: ReconciliationVerdict, asked_by: User, reason: str, now: datetime) -> Approval | None:
    """None where nothing was asked for it, or the same waits already. Raises Conflict before it is charged."""
    session = verdict.session
    cdr = CDR.objects.filter(session=session, captured_at__isnull=False).first()
    if cdr is None:
        raise Conflict("It is not charged yet: there is nothing to give back.", code="not_charged")
    subject = adjustments.subject_of(session.pk)
    paise = sum(adjustments.booked(cdr).values())
    waits = Approval.objects.open().filter(organisation=session.organisation, kind=KIND, subject=subject)
    if paise == 0 or waits.exists():
        return None
    return services.ask(
        kind=KIND, organisation_id=session.organisation_id, subject=subject, asked_by=asked_by, reason=reason, now=now,
        title=f"Give back {format_inr(paise)} of session {session.transaction_ref}", amount_paise=paise,
        facts={"verdict_id": verdict.pk, "session_id": session.pk, "before": {"booked_paise": paise},
               "after": {"booked_paise": 0}},
    )  # fmt: skip


def _give_back(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when it was decided otherwise meanwhile, is on a document, or costs something else by now."""
    session = ChargingSession.objects.select_for_update(of=("self",), no_key=True).get(pk=approval.facts["session_id"])
    verdict = ReconciliationVerdict.objects.get(pk=approval.facts["verdict_id"])
    if verdict.outcome != Outcome.CHARGED_BACK:
        raise Conflict("It was decided otherwise meanwhile.", code="changed_meanwhile")
    cdr = adjustments.locked(CDR.objects.values_list("pk", flat=True).get(session=session))
    if sum(adjustments.booked(cdr).values()) != approval.amount_paise:
        raise Conflict("It costs something else by now.", code="changed_meanwhile")
    if cdr.billed_items.exists():
        raise Conflict("It is on an invoice; a credit note takes it back.", code="already_billed")
    made = adjustments.charge_nothing(cdr=cdr, reason=approval.reason, now=now)
    return adjustments.entry_key(cdr, made.number)


def _ask_again(approval: Approval, by: User | None, now: datetime) -> None:
    """Whose money does not go back waits for another decision, and its question is open again."""
    undecided = {"outcome": "", "outcome_reason": "", "outcome_by": None, "outcome_at": None}
    kept_off = ReconciliationVerdict.objects.filter(pk=approval.facts["verdict_id"], outcome=Outcome.CHARGED_BACK)
    if kept_off.update(**undecided):
        verdict = ReconciliationVerdict.objects.select_related("session").get(pk=approval.facts["verdict_id"])
        storing.ask_again(verdict, now=now)


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    before, after = (approval.facts[moment]["booked_paise"] for moment in ("before", "after"))
    return [(_("Charged for the session"), format_inr(before), format_inr(after))]


services.register(
    services.Kind(KIND, _("Session not billed"), _give_back, is_ours=True, undone=_ask_again, shown=_shown)
)
