"""Does the evidence agree that this vehicle charged here? Rules add points, missing evidence adds none. Pure."""

from billing.matching.facts import Evidence, as_json, from_json, packed, unpacked
from billing.matching.judging import (
    BLOCKED,
    INCONCLUSIVE,
    INVALID,
    REVIEW,
    RULESET_VERSION,
    VERIFIED,
    Judgement,
    as_rows,
    input_hash,
    judge,
)
from billing.matching.thresholds import DEFAULTS, Thresholds, UnusableTerms, with_changes

__all__ = [
    "BLOCKED",
    "DEFAULTS",
    "INCONCLUSIVE",
    "INVALID",
    "REVIEW",
    "RULESET_VERSION",
    "VERIFIED",
    "Evidence",
    "Judgement",
    "Thresholds",
    "UnusableTerms",
    "as_json",
    "as_rows",
    "from_json",
    "input_hash",
    "judge",
    "packed",
    "unpacked",
    "with_changes",
]
