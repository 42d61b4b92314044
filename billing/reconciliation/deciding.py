"""What a person makes of a verdict, with a reason; and how often each rule was right."""

from collections import Counter
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import CharField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from billing.approvals import charge_backs
from billing.models import BillingException, ReconciliationVerdict
from billing.reconciliation import outweighing
from billing.reconciliation.outweighing import BY_ITSELF
from billing.reconciliation.storing import BY_VERDICTS
from billing.services.adjustments import is_charged_back
from billing.services.exceptions import resolve_exception
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.api import Conflict

Kind, Outcome, Verdict = BillingException.Kind, ReconciliationVerdict.Outcome, ReconciliationVerdict.Verdict
OF_A_NETWORK = (Kind.CPO_RECORD, Kind.CPO_PRICE)
KEPT_OFF = outweighing.KEPT_OFF
HELD = frozenset({Verdict.BLOCKED, Verdict.INVALID})


@transaction.atomic
def decide(*, verdict_id: int, outcome: str, reason: str, actor: User, at: datetime) -> ReconciliationVerdict:
    """Bill the session or keep it off the invoice; the open questions about it are closed with the same reason.

    What is not billed is given back once a second person agrees. It may be changed as long as that has not happened and
    the session is on no document. Raises Conflict, and ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("A decision needs a reason.")
    verdict = (
        ReconciliationVerdict.objects.select_for_update(of=("self",))
        .select_related("session__organisation", "session__cdr")
        .get(pk=verdict_id)
    )
    if verdict.outcome == Outcome(outcome):
        raise Conflict("It was decided so already.", code="already_decided")
    if _is_billed(verdict):
        raise Conflict("It is on an invoice; a credit note takes it back.", code="already_billed")
    if is_charged_back(verdict.session):
        raise Conflict("What was charged for it was given back already.", code="given_back")
    before = {"outcome": verdict.outcome, "reason": verdict.outcome_reason}
    verdict.outcome, verdict.outcome_reason = Outcome(outcome), reason.strip()[:500]
    verdict.outcome_by, verdict.outcome_at = actor, at
    verdict.save(update_fields=["outcome", "outcome_reason", "outcome_by", "outcome_at"])
    audit(
        action="verdict.decide", target=verdict, actor=actor, reason=reason, organisation=verdict.session.organisation,
        before=before, after={"outcome": verdict.outcome, "verdict": verdict.verdict, "points": verdict.points},
    )  # fmt: skip
    if verdict.outcome == Outcome.CHARGED_BACK:
        charge_backs.ask(verdict=verdict, asked_by=actor, reason=reason, now=at)
    doubts = BillingException.objects.open().filter(BY_VERDICTS, session=verdict.session)
    for doubt in doubts:
        resolve_exception(exception_id=doubt.pk, actor=actor, reason=reason, at=at)
    return verdict


def _is_billed(verdict: ReconciliationVerdict) -> bool:
    cdr = getattr(verdict.session, "cdr", None)
    return cdr is not None and cdr.billed_items.exists()


def accepted_questions(session: Any, verdict: Any) -> QuerySet[BillingException]:
    """Questions about a session of this verdict that a person closed in the queue; for `Exists`.

    A driver's question answers a blocked verdict, a question about the record or its price an invalid one; but none
    does while another of them is open, as heavier evidence came or the price is in doubt as well as the record.
    """
    answers = Q(kind=Kind.SUSPICIOUS, asks=Verdict.BLOCKED) | Q(kind__in=OF_A_NETWORK, asks=Verdict.INVALID)
    doubts = [Kind.SUSPICIOUS, *OF_A_NETWORK]
    still = BillingException.objects.open().filter(session=OuterRef("session_id"), kind__in=doubts)
    closed = BillingException.objects.filter(~Exists(still), session=session, resolved_at__isnull=False)
    asked = ExpressionWrapper(verdict, CharField())
    return closed.exclude(resolution__in=BY_ITSELF).annotate(asks=asked).filter(answers)


def precision(organisation: Organisation | None) -> dict[str, tuple[int, int]]:
    """Per rule: how many of the decided doubts it had a part in, and how many of those were unfounded."""
    decided = ReconciliationVerdict.objects.exclude(outcome="")
    if organisation is not None:
        decided = decided.filter(session__organisation=organisation)
    total: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for findings, outcome in decided.values_list("findings", "outcome"):
        rules = {finding["rule"] for finding in findings if finding["points"] or finding.get("is_hold")}
        total.update(rules)
        wrong.update(rules if outcome == Outcome.DISMISSED else ())
    return {rule: (total[rule], wrong[rule]) for rule in sorted(total)}
