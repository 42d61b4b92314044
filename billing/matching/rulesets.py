"""Every ruleset that ever judged, so that an old verdict can be had again from its stored evidence alone. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from billing.matching import catalogue, judging, v2026_11_1, v2026_11_2, v2026_11_3
from billing.matching.facts import from_json
from billing.matching.seen import Seen
from billing.matching.thresholds import Thresholds

CHECKS = {
    v2026_11_2.RULESET_VERSION: v2026_11_2.CHECKS,
    v2026_11_3.RULESET_VERSION: v2026_11_3.CHECKS,
    judging.RULESET_VERSION: catalogue.CHECKS,
}


class UnknownRuleset(LookupError):
    """No ruleset of this name ever judged here."""


class UnreadableEvidence(ValueError):
    """Not as any ruleset ever stored it."""


class Rerun(msgspec.Struct, frozen=True, kw_only=True):
    verdict: str
    points: int
    findings: list[dict[str, Any]]
    input_hash: str


def rerun(*, version: str, evidence: Mapping[str, Any], thresholds: Mapping[str, Any]) -> Rerun:
    """The verdict of that ruleset over stored evidence. Raises UnknownRuleset, UnreadableEvidence."""
    if version != v2026_11_1.RULESET_VERSION and version not in CHECKS:
        raise UnknownRuleset(version)
    try:
        return _first(dict(evidence)) if version not in CHECKS else _again(version, evidence, thresholds)
    except (ValueError, KeyError, TypeError) as error:  # msgspec's refusals among them
        raise UnreadableEvidence(str(error)) from error


def is_present(*, version: str, evidence: Mapping[str, Any], thresholds: Mapping[str, Any]) -> bool:
    """Was presence proven by that ruleset? Raises as `rerun`."""
    try:
        if version == v2026_11_1.RULESET_VERSION:
            return v2026_11_1.present_share(v2026_11_1.from_json(dict(evidence))) >= v2026_11_1.PRESENT_SHARE
        terms = msgspec.convert(dict(thresholds), Thresholds)
        return judging.is_present(Seen(from_json(dict(evidence)), terms))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableEvidence(str(error)) from error


def _again(version: str, evidence: Mapping[str, Any], thresholds: Mapping[str, Any]) -> Rerun:
    facts, terms = from_json(dict(evidence)), msgspec.convert(dict(thresholds), Thresholds)
    judgement = judging.judge(facts, terms, CHECKS[version])
    return Rerun(
        verdict=judgement.verdict, points=judgement.points, findings=judging.as_rows(judgement),
        input_hash=judging.hash_of(
            version, _as_told(msgspec.to_builtins(facts), evidence), _as_told(msgspec.to_builtins(terms), thresholds)
        ),
    )  # fmt: skip


def _as_told(read: Any, stored: Any) -> Any:
    """Without what was no part of it when it was stored: the hash of then had no word for it."""
    if isinstance(read, dict):
        return {name: _as_told(value, stored[name]) for name, value in read.items() if name in stored}
    if isinstance(read, list | tuple):
        return [_as_told(*pair) for pair in zip(read, stored, strict=True)]
    return read


def _first(stored: dict[str, Any]) -> Rerun:
    evidence = v2026_11_1.from_json(stored)
    judgement = v2026_11_1.judge(evidence)
    findings = [
        {
            "rule": finding.rule, "points": finding.points, "text": finding.text, "evidence": finding.evidence,
            "is_inconclusive": finding.is_inconclusive,
        }
        for finding in judgement.findings
    ]  # fmt: skip
    return Rerun(
        verdict=judgement.verdict, points=judgement.points, findings=findings,
        input_hash=v2026_11_1.input_hash(evidence),
    )  # fmt: skip


def canonical(verdict: str, points: int, findings: list[dict[str, Any]], input_hash: str) -> bytes:
    """The bytes that two runs are compared by."""
    return msgspec.json.encode([verdict, points, findings, input_hash], order="deterministic")
