"""From evidence to a verdict; the same evidence and thresholds give the same answer, byte by byte. Pure."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from billing.matching import catalogue
from billing.matching.facts import Evidence
from billing.matching.findings import DRIVER, Check, Finding
from billing.matching.seen import Seen
from billing.matching.thresholds import DEFAULTS, Thresholds

RULESET_VERSION = "2026-11.4"
VERIFIED, INCONCLUSIVE, REVIEW, BLOCKED, INVALID = "verified", "inconclusive", "review", "blocked", "invalid"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """`points` are the fleet's questions alone; what a network must answer is never added to them."""

    verdict: str
    points: int
    findings: tuple[Finding, ...]
    is_presence_proven: bool
    dwell: tuple[int, int] | None = None


def judge(evidence: Evidence, terms: Thresholds = DEFAULTS, checks: Sequence[Check] = catalogue.CHECKS) -> Judgement:
    """The verdict, its points and what was found; `checks` are those of an earlier ruleset."""
    seen = Seen(evidence, terms)
    findings = tuple(finding for check in checks for finding in check(seen))
    points = sum(finding.points for finding in findings if finding.asks == DRIVER)
    stood = is_present(seen)
    if points >= terms.block_from_points:
        verdict = BLOCKED
    elif any(finding.is_hold for finding in findings):
        verdict = INVALID
    elif points >= terms.review_from_points:
        verdict = REVIEW
    else:
        verdict = VERIFIED if stood else INCONCLUSIVE
    return Judgement(verdict=verdict, points=points, findings=findings, is_presence_proven=stood, dwell=seen.dwell)


def is_present(seen: Seen) -> bool:
    """Did it stand within the radius for long enough of the pinged time?"""
    return seen.present_share * 100 >= seen.terms.present_percent


def as_rows(judgement: Judgement) -> list[dict[str, Any]]:
    """The findings as they are stored and shown."""
    rows: list[dict[str, Any]] = msgspec.to_builtins(list(judgement.findings))
    return rows


def input_hash(evidence: Evidence, terms: Thresholds = DEFAULTS, version: str = RULESET_VERSION) -> str:
    """Names the evidence, the thresholds and the rules; equal hashes mean equal verdicts."""
    return hash_of(version, evidence, terms)


def hash_of(version: str, evidence: Any, terms: Any) -> str:
    """Of structs, or of the same as plain values in the order of their fields."""
    return sha256(msgspec.json.encode([version, evidence, terms])).hexdigest()
