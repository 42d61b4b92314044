"""Old verdicts had again from what is stored beside them, compared byte by byte; judged anew by today's rules."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from billing.matching import RULESET_VERSION, rulesets
from billing.models import PastVerdict, ReconciliationVerdict
from billing.reconciliation import working

Stored = ReconciliationVerdict | PastVerdict
PAGE = 500


class Compared(NamedTuple):
    stored: Stored
    again: rulesets.Rerun | None
    is_same: bool


def rerun(stored: Stored) -> Compared:
    """By the ruleset that judged it; `again` is None for a ruleset that we do not have, or evidence it cannot read."""
    try:
        again = rulesets.rerun(
            version=stored.ruleset_version, evidence=stored.evidence, thresholds=stored.thresholds
        )  # fmt: skip
    except (rulesets.UnknownRuleset, rulesets.UnreadableEvidence):
        return Compared(stored, None, False)
    first = rulesets.canonical(stored.verdict, stored.points, stored.findings, stored.input_hash)
    second = rulesets.canonical(again.verdict, again.points, again.findings, again.input_hash)
    return Compared(stored, again, first == second)


def rerun_all(*, session_ids: Iterable[int] | None = None) -> Iterator[Compared]:
    """Every verdict in force, then every earlier one; in pages."""
    for model in (ReconciliationVerdict, PastVerdict):
        rows = model._default_manager.order_by("pk")
        if session_ids is not None:
            rows = rows.filter(session_id__in=list(session_ids))
        yield from map(rerun, rows.iterator(chunk_size=PAGE))


def judge_by_todays_rules(*, now: datetime, limit: int) -> int:
    """Verdicts of earlier rulesets, judged anew as far as their evidence can still be gathered; the old ones stay."""
    old = ReconciliationVerdict.objects.exclude(ruleset_version=RULESET_VERSION).order_by("session__ended_at")
    return working.judge_these(list(old.values_list("session_id", flat=True)[:limit]), now=now)
