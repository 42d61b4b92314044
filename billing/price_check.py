"""Our price of a network's record beside the one it asks: where they part, and by how much. Pure. Paise, whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_DIFFERENCE_PAISE = 100
DIFFERENCE_PERCENT = 1
PART_OF = {
    "total_energy_cost": ("ENERGY",),
    "total_time_cost": ("TIME",),
    "total_parking_cost": ("PARKING_TIME",),
    "total_fixed_cost": ("FLAT",),
    "total_reservation_cost": ("RESERVATION_FLAT", "RESERVATION_TIME"),
}
NAMES = {
    "total_energy_cost": "Energy", "total_time_cost": "Charging time", "total_parking_cost": "Idle time",
    "total_fixed_cost": "Fixed fee", "total_reservation_cost": "Reservation",
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """A price without and with tax. None: not told."""

    before: int | None
    after: int | None


@dataclass(frozen=True)
class Comparison:
    """`difference` is what the network asks more, with tax where it says so."""

    difference: int
    is_disputed: bool
    findings: list[dict[str, Any]]


def compare(
    *, ours: Figures, theirs: Figures, our_lines: Sequence[Mapping[str, Any]], their_parts: Mapping[str, int],
    problems: Sequence[str] = (), tariff_problem: str = "",
) -> Comparison:  # fmt: skip
    """`our_lines` as explained on the CDR, `their_parts` by OCPI's total_*_cost without tax.

    Every figure that both sides have is compared; one beyond tolerance is a dispute. The findings say where it is from.
    """
    pairs = [
        ("tax", "With tax", ours.after, theirs.after), ("total", "Without tax", ours.before, theirs.before),
    ]  # fmt: skip
    told = [(rule, text, mine, asked) for rule, text, mine, asked in pairs if mine is not None and asked is not None]
    apart = [finding(rule, text, mine, asked) for rule, text, mine, asked in told if is_apart(mine, asked)]
    difference = told[0][3] - told[0][2] if told else 0
    if not apart:
        return Comparison(difference, False, [])
    return Comparison(difference, True, [*apart, *_reasons(our_lines, their_parts, theirs, problems, tariff_problem)])


def is_apart(ours: int, theirs: int) -> bool:
    """OCPI leaves rounding open: a rupee or one percent is none of our business."""
    return abs(ours - theirs) > max(LEAST_DIFFERENCE_PAISE, abs(theirs) * DIFFERENCE_PERCENT // 100)


def finding(rule: str, text: str, ours: int | None = None, theirs: int | None = None) -> dict[str, Any]:
    return {"rule": rule, "text": text, "ours": ours, "theirs": theirs}


def _reasons(
    our_lines: Sequence[Mapping[str, Any]], their_parts: Mapping[str, int], theirs: Figures, problems: Sequence[str],
    tariff_problem: str,
) -> list[dict[str, Any]]:  # fmt: skip
    found = []
    if their_parts:
        ours = {name: _sum(our_lines, dimensions) for name, dimensions in PART_OF.items()}
        for name, mine in ours.items():
            asked = their_parts.get(name, 0)
            if is_apart(mine, asked):
                found.append(finding("part", NAMES[name], mine, asked))
        parts = sum(their_parts.values())
        if theirs.before is not None and is_apart(parts, theirs.before):
            found.append(finding("parts", "Its parts do not add up to its total", parts, theirs.before))
    found += [finding("periods", f"The record contradicts itself: {problem}") for problem in problems]
    if tariff_problem:
        found.append(finding("tariff", tariff_problem))
    return found


def _sum(lines: Sequence[Mapping[str, Any]], dimensions: Sequence[str]) -> int:
    return sum(int(line["amount_paise"]) for line in lines if line["dimension"] in dimensions)
