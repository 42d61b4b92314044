"""What one rule saw, and in which words. Words stay neutral: a person decides. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from billing.matching.seen import Seen

DRIVER, NETWORK, COST = "driver", "network", "cost"
"""Whom the question is for: a network's error is never asked of a driver."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`is_inconclusive`: the rule had nothing to look at. `is_hold`: the line waits, whatever the points."""

    rule: str
    points: int
    text: str
    evidence: dict[str, Any] = {}
    is_inconclusive: bool = False
    is_hold: bool = False
    asks: str = DRIVER


Check = Callable[[Seen], list[Finding]]


def nothing_to_look_at(rule: str, text: str, **evidence: Any) -> list[Finding]:
    return [Finding(rule=rule, points=0, text=text, evidence=evidence, is_inconclusive=True)]


def spoken(metres: float) -> str:
    return f"{metres / 1000:.1f} km" if metres >= 1000 else f"{metres:.0f} m"
