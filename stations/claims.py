"""Which of several claims about a field is shown, and why: the most trusted source, then the newest word. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

TRUST_OF_A_PERSON = 101
"""Trust of sources goes from 0 to 100: who looked with their own eyes is believed."""
EMPTY: tuple[Any, ...] = (None, "", 0, "unknown")


@dataclass(frozen=True)
class Word:
    """What one source says of one thing. `said_at` is the source's clock, else ours."""

    source: str
    trust: int
    said_at: datetime
    values: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The value to show, whose it is, why, and what the others say: (source, value) in order of weight."""

    value: Any
    source: str
    why: str
    others: tuple[tuple[str, Any], ...] = ()


def told(values: dict[str, Any]) -> dict[str, Any]:
    """Only the fields a source says something of."""
    return {name: value for name, value in values.items() if value not in EMPTY}


def winners(words: Iterable[Word], fields: Iterable[str]) -> dict[str, Verdict]:
    """Per field that anybody names; latitude and longitude are two fields, but belong to one word."""
    ordered = sorted(words, key=lambda word: (word.trust, word.said_at, word.source), reverse=True)
    verdicts = {}
    for field in fields:
        named = [word for word in ordered if field in word.values]
        if named:
            verdicts[field] = _verdict(field, named)
    if {"latitude", "longitude"} <= verdicts.keys():
        at = next(word for word in ordered if {"latitude", "longitude"} <= word.values.keys())
        verdicts |= {name: _verdict(name, [at, *(w for w in ordered if w is not at and name in w.values)])
                     for name in ("latitude", "longitude")}  # fmt: skip
    return verdicts


def _verdict(field: str, named: list[Word]) -> Verdict:
    best, *rest = named
    return Verdict(
        best.values[field], best.source, _why(best, rest), tuple((word.source, word.values[field]) for word in rest)
    )


def _why(best: Word, rest: list[Word]) -> str:
    if not rest:
        return "nobody else says"
    if best.trust >= TRUST_OF_A_PERSON:
        return "a person said so"
    if best.trust > rest[0].trust:
        return f"trust {best.trust} against {rest[0].trust}"
    return f"newer ({best.said_at:%d %b %Y %H:%M} UTC), trust {best.trust} both"
