"""A person's decision holds for what they saw: evidence that weighs more takes it back, and the question is anew."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from billing.matching import Evidence, Judgement
from billing.models import BillingException, ChargingSession, ReconciliationVerdict
from billing.services.adjustments import is_charged_back
from billing.services.exceptions import WITHDRAWN
from billing.services.price_checks import TAKEN_BACK
from fleetcharge.accounts.models import Organisation
from fleetcharge.accounts.services import audit

Kind, Outcome = BillingException.Kind, ReconciliationVerdict.Outcome
SETTLED = "Positions that arrived later settle it."
BY_ITSELF = (WITHDRAWN, SETTLED, TAKEN_BACK)  # resolutions that no person gave
BILLED = frozenset({Outcome.DISMISSED, Outcome.ACCEPTED})
KEPT_OFF = frozenset({Outcome.DISPUTED, Outcome.CHARGED_BACK})
WHY = "Evidence that came later weighs more than what was decided about."
WHY_LET_GO = "The network sent another record in place of what was decided about."

# the last word of a person, on the verdict or in the queue; and the verdict that stood then: the first replaced since
_DECIDED = """
SELECT v.id, v.session_id, v.outcome, v.outcome_reason, COALESCE(p.points, v.points),
       COALESCE(p.findings, v.findings), COALESCE(COALESCE(p.evidence, v.evidence) ->> 'record', ''),
       EXISTS (SELECT 1 FROM billing_cdr c JOIN billing_billeditem b ON b.cdr_id = c.id
               WHERE c.session_id = v.session_id),
       EXISTS (SELECT 1 FROM billing_cdr c WHERE c.session_id = v.session_id AND c.captured_at <= last.at), last.at
FROM billing_reconciliationverdict v
CROSS JOIN LATERAL (
    SELECT max(x.at) AS at FROM (
        SELECT v.outcome_at AS at WHERE v.outcome <> ''
        UNION ALL
        SELECT e.resolved_at FROM billing_billingexception e
        WHERE e.session_id = v.session_id AND e.kind = ANY(%(kinds)s) AND e.resolution <> ALL(%(by_itself)s)
    ) x
) last
LEFT JOIN LATERAL (
    SELECT q.points, q.findings, q.evidence FROM billing_pastverdict q
    WHERE q.session_id = v.session_id AND q.replaced_at > last.at ORDER BY q.id LIMIT 1
) p ON true
WHERE v.session_id = ANY(%(ids)s) AND last.at IS NOT NULL
"""


class Decided(NamedTuple):
    """What a person knew when they let a session be billed, or kept it off."""

    verdict_id: int
    session_id: int
    outcome: str
    reason: str
    points: int
    holds: frozenset[str]
    record: str
    is_billed: bool
    was_charged: bool
    at: datetime

    def is_outweighed_by(self, judgement: Judgement, record: str) -> bool:
        """More points, a hold that was not there, or another record of the network.

        The same doubt in other figures is decided already.
        """
        holds = {finding.rule for finding in judgement.findings if finding.is_hold}
        is_another = "" not in (record, self.record) and record != self.record
        return judgement.points > self.points or not holds <= self.holds or (is_another and bool(holds))

    def is_let_go_by(self, evidence: Evidence) -> bool:
        """Kept off was one record, and another is in force; also where a credit had left none (`was_charged`)."""
        if self.outcome not in KEPT_OFF or evidence.record in ("", self.record):
            return False
        is_after_credit = self.was_charged and evidence.known_at is not None and evidence.known_at > self.at
        return self.record != "" or is_after_credit


def decided(session_ids: Sequence[int]) -> list[Decided]:
    """Of sessions with a verdict, those a person decided about (one query); before the verdict is replaced."""
    values: dict[str, Any] = {
        "ids": list(session_ids), "by_itself": list(BY_ITSELF),
        "kinds": [Kind.SUSPICIOUS, Kind.CPO_RECORD, Kind.CPO_PRICE],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_DECIDED, values)
        rows = cursor.fetchall()
    return [
        Decided(pk, session_id, outcome, reason, points, _holds(json.loads(findings)), *others)
        for pk, session_id, outcome, reason, points, findings, *others in rows
    ]


def take_back(each: Decided, judgement: Judgement, *, organisation_id: int) -> None:
    """The line waits for a person again, unless a document has it already: then the question alone is asked."""
    if each.outcome in BILLED and not each.is_billed:
        _reopen(each, judgement, organisation_id, WHY)


def let_go(each: Decided, judgement: Judgement, *, organisation_id: int) -> None:
    """The verdict on the record in force says whether the line is billed, unless the money was given back for good."""
    if not is_charged_back(ChargingSession(pk=each.session_id, organisation_id=organisation_id)):
        _reopen(each, judgement, organisation_id, WHY_LET_GO)


def _reopen(each: Decided, judgement: Judgement, organisation_id: int, why: str) -> None:
    rows = ReconciliationVerdict.objects.filter(pk=each.verdict_id)
    rows.update(outcome="", outcome_reason="", outcome_by=None, outcome_at=None)
    audit(
        action="verdict.reopen", target=rows.get(), reason=why, organisation=Organisation(pk=organisation_id),
        before={"outcome": each.outcome, "reason": each.reason, "points": each.points},
        after={"outcome": "", "verdict": judgement.verdict, "points": judgement.points},
    )  # fmt: skip


def _holds(findings: Any) -> frozenset[str]:
    return frozenset(finding["rule"] for finding in findings if finding.get("is_hold"))
