"""Whole numbers shared out so that the parts add up to the whole. Pure integers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from billing.utility.clock import MICROSECOND, Grid


def share_out(amount: int, weights: Sequence[int]) -> list[int]:
    """Largest remainder, ties to the first: parts in proportion to the weights, whose sum is `amount`.

    A credit (below zero) is shared as a charge is. Raises ValueError when no weight is above zero.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("There is nothing to share by.")
    sign, rest = (-1, -amount) if amount < 0 else (1, amount)
    parts = [rest * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(rest * weights[i] % total), i))
    for index in by_remainder[: rest - sum(parts)]:
        parts[index] += 1
    return [sign * part for part in parts]


def spread(energy_wh: int, marks: Sequence[tuple[datetime, int]], grid: Grid) -> dict[int, int]:
    """How much of `energy_wh` was drawn in each block, as the register between the marks says, evenly in between.

    `marks`: (instant, register in Wh) in time order, first and last being start and end. A register that never rises
    says nothing: then all is spread evenly over the time. The blocks add up to `energy_wh`, those
    outside of the period among them.
    """
    if energy_wh <= 0 or len(marks) < 2:
        return {}
    drawn: dict[int, int] = {}
    for (since, before), (until, after) in pairwise(marks):
        if after > before and until > since:
            _add(drawn, after - before, since, until, grid)
    if not drawn:
        first, last = marks[0][0], marks[-1][0]
        if last <= first:
            return {(first - grid.started_at) // (grid.start_of(1) - grid.started_at): energy_wh}
        _add(drawn, (last - first) // MICROSECOND, first, last, grid)
    blocks = sorted(drawn)
    parts = share_out(energy_wh, [drawn[block] for block in blocks])
    return {block: part for block, part in zip(blocks, parts, strict=True) if part}


def _add(drawn: dict[int, int], amount: int, since: datetime, until: datetime, grid: Grid) -> None:
    touched = list(grid.overlaps(since, until))
    for (block, _), part in zip(touched, share_out(amount, [width for _, width in touched]), strict=True):
        drawn[block] = drawn.get(block, 0) + part


def total(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Block by block, all together."""
    found: dict[int, int] = {}
    for part in parts:
        for block, energy_wh in part.items():
            found[block] = found.get(block, 0) + energy_wh
    return found
