"""The second ruleset as it judged: its L8 took a silence about accuracy for an accuracy that never changes. Pure.

Every other rule is as in the third ruleset; one that changed since left its old self there.
"""

from billing.matching import places, v2026_11_3
from billing.matching.findings import Check, Finding
from billing.matching.seen import MOCK_LOCATION, Seen

RULESET_VERSION = "2026-11.2"


def mocked(seen: Seen) -> list[Finding]:
    """L8 until 2026-11.3."""
    made_up = int(((seen.flags & MOCK_LOCATION) != 0)[seen.is_during].sum())
    if made_up:
        text = "The tracker says that its positions were made up by an app"
        return [Finding(rule="L8", points=seen.terms.l8_points, text=text, evidence={"pings": made_up})]
    told = seen.accuracy_m[seen.is_during]
    is_constant = len(told) >= seen.terms.constant_accuracy_pings and int(told.min()) == int(told.max())
    if not is_constant or seen.evidence.jumps < seen.terms.jumps:
        return []
    facts = {"jumps": seen.evidence.jumps, "accuracy_m": int(told[0]), "pings": len(told)}
    text = "Positions jump while their accuracy never changes"
    return [Finding(rule="L8", points=seen.terms.l8_points, text=text, evidence=facts)]


CHECKS: tuple[Check, ...] = tuple(mocked if check is places.mocked else check for check in v2026_11_3.CHECKS)
