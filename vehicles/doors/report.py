"""The answer that tells what became of each ping."""

from collections.abc import Sequence
from typing import Any

from vehicles.fixes import LATE, Problem
from vehicles.intake import Verdict
from vehicles.telemetry import ACCEPTED


def report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The answer: how many were stored (and how many of those came late) or known, and each refused one by index."""
    if _are_plain(verdicts):
        return {"accepted": len(verdicts), "duplicate": 0, "late": 0, "rejected": [], "warnings": []}
    accepted = [verdict for verdict in verdicts if not isinstance(verdict, Problem) and verdict[0] == ACCEPTED]
    rejected = [(i, verdict) for i, verdict in enumerate(verdicts) if isinstance(verdict, Problem)]
    warnings = [
        {"i": i, "code": verdict[1].warning}
        for i, verdict in enumerate(verdicts)
        if not isinstance(verdict, Problem) and verdict[1].warning
    ]
    return {
        "accepted": len(accepted),
        "duplicate": len(verdicts) - len(accepted) - len(rejected),
        "late": sum(1 for _, fix in accepted if fix.flags & LATE),
        "rejected": [{"i": i, "code": problem.code, "detail": problem.detail} for i, problem in rejected],
        "warnings": warnings,
    }


def _are_plain(verdicts: Sequence[Verdict]) -> bool:
    """Stored, and nothing to say about any: nearly every batch."""
    for verdict in verdicts:
        if isinstance(verdict, Problem):
            return False
        outcome, fix = verdict
        if outcome != ACCEPTED or fix.flags & LATE or fix.warning:
            return False
    return True
