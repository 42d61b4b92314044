"""Tax on a document: once per rate, in its heads, spread over the lines so that they add up to the paisa. Pure.

The central half is computed once and the state's half is its copy. Of a head every line gets its share by largest
remainder: the sum of the lines is the head, never a paisa beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

PAISE_PER_RUPEE = 100


@dataclass(frozen=True)
class Heads:
    """Of a line, or of a whole document."""

    cgst_paise: int = 0
    sgst_paise: int = 0
    igst_paise: int = 0

    @property
    def total_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise

    def __add__(self, other: "Heads") -> "Heads":
        return Heads(
            self.cgst_paise + other.cgst_paise, self.sgst_paise + other.sgst_paise, self.igst_paise + other.igst_paise
        )


def tax_on(lines: Sequence[tuple[int, Fraction]], *, is_interstate: bool) -> list[Heads]:
    """The heads of each line, given (taxable paise, rate in percent). A line below zero lowers its group."""
    shares: list[Heads] = [Heads()] * len(lines)
    for rate in sorted({rate for _, rate in lines}):
        group = [index for index, (_, own) in enumerate(lines) if own == rate]
        exact = [lines[index][0] * rate / (100 if is_interstate else 200) for index in group]
        for index, paise in zip(group, spread(exact, nearest(sum(exact, Fraction(0)))), strict=True):
            shares[index] = Heads(igst_paise=paise) if is_interstate else Heads(paise, paise)
    return shares


def total_of(heads: Iterable[Heads]) -> Heads:
    return sum(heads, Heads())


def spread(exact: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers next to `exact` that add up to `total`, by largest remainder; the first of equals wins.

    `total` may be any number: what is beyond one for each goes to the largest.
    """
    whole = [floor(amount) for amount in exact]
    left = total - sum(whole)
    order = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in order[: max(0, left)]:
        whole[index] += 1
    if whole and (rest := total - sum(whole)):
        whole[max(range(len(exact)), key=lambda index: abs(exact[index]))] += rest
    return whole


def inside(gross_paise: int, rate: Fraction, *, is_interstate: bool) -> tuple[int, Heads]:
    """What of an amount is tax when it is included (an advance): (taxable, heads); they add up to the amount."""
    if is_interstate:
        igst = nearest(gross_paise * rate / (100 + rate))
        return gross_paise - igst, Heads(igst_paise=igst)
    half = nearest(gross_paise * rate / (100 + rate) / 2)
    return gross_paise - 2 * half, Heads(half, half)


def round_off(paise: int) -> int:
    """What makes it whole rupees: 50 paise and more go up (CGST Act, section 170)."""
    return nearest(Fraction(paise, PAISE_PER_RUPEE)) * PAISE_PER_RUPEE - paise


def nearest(value: Fraction) -> int:
    """Halves away from zero, so that a credit note mirrors its invoice."""
    return floor(value + Fraction(1, 2)) if value >= 0 else -floor(-value + Fraction(1, 2))
