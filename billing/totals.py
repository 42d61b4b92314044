"""From exact lines to whole paise: the limits of a tariff, tax in its heads, one rounding at the end. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from billing.tariff_elements import TariffError
from billing.tariff_terms import Limit, Terms

LEAST, MOST = "MIN_PRICE", "MAX_PRICE"


@dataclass(frozen=True)
class Line:
    """One priced component: `quantity` in kWh, hours or sessions, `unit_price_paise` exact, `amount_paise` whole.

    Without tax. MIN_PRICE and MAX_PRICE say what a limit of the tariff added or took away; `element` is then -1.
    `vat_percent` None: the tariff does not say.
    """

    dimension: str
    element: int
    quantity: Fraction
    unit: str
    unit_price_paise: Fraction
    amount_paise: int
    vat_percent: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """GST in its heads; central and state are equal, integrated stands alone."""

    cgst_paise: int = 0
    sgst_paise: int = 0
    igst_paise: int = 0

    @property
    def total_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise


@dataclass(slots=True)
class Rating:
    """A price; why it is that much is worked out when `lines` are asked for."""

    taxable_paise: int
    tax: Tax
    explain: Callable[[], tuple[Line, ...]] = field(repr=False, compare=False)
    _lines: tuple[Line, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def lines(self) -> tuple[Line, ...]:
        """In the order in which the session first used them; their whole paise add up to the taxable value."""
        if self._lines is None:
            self._lines = self.explain()
        return self._lines

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.tax.total_paise


@dataclass(frozen=True)
class Exact:
    """A line before it is rounded; `price_paise` without tax, `vat` None: the usual percentage."""

    dimension: str
    element: int
    quantity: Fraction
    unit: str
    price_paise: Fraction
    vat: Fraction | None

    @property
    def paise(self) -> Fraction:
        return self.quantity * self.price_paise


def plain_sum(exact: tuple[int, int], percent: Fraction | int, *, is_interstate: bool) -> tuple[int, Tax]:
    """Taxable paise and tax of numerator / denominator where one percentage is on all of it and nothing limits it."""
    numerator, denominator = exact
    if numerator < 0:
        raise TariffError("the price is below zero")
    taxable = nearest(numerator, denominator)
    whole, parts = percent.numerator, 100 * percent.denominator
    if is_interstate:
        return taxable, Tax(0, 0, nearest(taxable * whole, parts))
    half = nearest(taxable * whole, 2 * parts)
    return taxable, Tax(half, half)


def sum_up(exact: list[Exact], terms: Terms, gst_percent: int | Fraction, *, is_interstate: bool) -> Rating:
    if terms.is_tax_included:
        exact = [_without_tax(line, gst_percent) for line in exact]
    before, after = _clamped(exact, terms, gst_percent)
    exact = [*exact, *_limit_line(exact, before, terms)]
    if before < 0:
        raise TariffError("the price is below zero")
    taxable = round_half_up(before)
    if after is None:
        tax = _tax_by_percent(exact, taxable, gst_percent, is_interstate=is_interstate)
    else:  # with tax is what was promised: what is rounded goes to the side without
        tax = tax_of(after - before, is_interstate=is_interstate)
        taxable = round_half_up(after) - tax.total_paise
    lines = in_whole_paise(exact, taxable)
    return Rating(taxable, tax, lambda: lines)


def in_whole_paise(exact: Sequence[Exact], taxable: int) -> tuple[Line, ...]:
    """The lines of a price, adding up to it."""
    amounts = _whole_paise([line.paise for line in exact], taxable)
    return tuple(
        Line(line.dimension, line.element, line.quantity, line.unit, line.price_paise, paise, line.vat)
        for line, paise in zip(exact, amounts, strict=True)
    )


def _without_tax(line: Exact, gst_percent: int | Fraction) -> Exact:
    price = line.price_paise / (1 + _percent(line, gst_percent) / 100)
    return Exact(line.dimension, line.element, line.quantity, line.unit, price, line.vat)


def _percent(line: Exact, gst_percent: int | Fraction) -> Fraction:
    return Fraction(gst_percent) if line.vat is None else line.vat


def _clamped(exact: Sequence[Exact], terms: Terms, gst_percent: int | Fraction) -> tuple[Fraction, Fraction | None]:
    """Without tax; and with tax where the tariff itself says so (tax included, or a limit with tax): else None.

    A limit that is told both ways holds for both sums apart (OCPI 2.2.1 Tariff, notes on min_price and max_price).
    """
    before = sum((line.paise for line in exact), Fraction(0))
    if terms.is_plain:
        return before, None
    after = before + sum((line.paise * _percent(line, gst_percent) / 100 for line in exact), Fraction(0))
    usual = _percent(exact[0], gst_percent) if exact else Fraction(gst_percent)
    clamped = _within(before, _before(terms.least), _before(terms.most))
    binding = terms.least if clamped > before else terms.most if clamped < before else None
    if binding is not None and binding.after is None:  # with tax it moves as the price without does
        after += (clamped - before) * (1 + usual / 100)
    says_tax = terms.is_tax_included or any(limit and limit.after is not None for limit in (terms.least, terms.most))
    if not says_tax:
        return clamped, None
    after = _within(after, _after(terms.least), _after(terms.most))
    if after < clamped:
        raise TariffError("a limit with tax is below the price without")
    return clamped, after


def _before(limit: Limit | None) -> Fraction | None:
    return limit.before if limit else None


def _after(limit: Limit | None) -> Fraction | None:
    return limit.after if limit else None


def _within(value: Fraction, least: Fraction | None, most: Fraction | None) -> Fraction:
    value = value if least is None else max(value, least)
    return value if most is None else min(value, most)


def _limit_line(exact: Sequence[Exact], before: Fraction, terms: Terms) -> list[Exact]:
    """What a limit added or took away, so that the lines add up."""
    if terms.least is None and terms.most is None:
        return []
    difference = before - sum((line.paise for line in exact), Fraction(0))
    if not difference:
        return []
    vat = exact[0].vat if exact else None
    return [Exact(LEAST if difference > 0 else MOST, -1, Fraction(1), "session", difference, vat)]


def _tax_by_percent(exact: Sequence[Exact], taxable: int, gst_percent: int | Fraction, *, is_interstate: bool) -> Tax:
    """One percentage, as nearly always: of what is invoiced. Several: summed exactly, rounded once."""
    percents = {_percent(line, gst_percent) for line in exact} or {Fraction(gst_percent)}
    if len(percents) == 1:
        return tax_of(taxable * percents.pop() / 100, is_interstate=is_interstate)
    exact_tax = sum((line.paise * _percent(line, gst_percent) / 100 for line in exact), Fraction(0))
    return tax_of(exact_tax, is_interstate=is_interstate)


def tax_of(exact_paise: Fraction, *, is_interstate: bool) -> Tax:
    if is_interstate:
        return Tax(igst_paise=round_half_up(exact_paise))
    half = round_half_up(exact_paise / 2)
    return Tax(cgst_paise=half, sgst_paise=half)


def _whole_paise(exact: Sequence[Fraction], total: int) -> list[int]:
    """Largest remainder: whole paise per line that add up to the rounded total (a promised total may lie beside)."""
    whole = [floor(amount) for amount in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
    left = total - sum(whole)
    for index in by_remainder[:left]:
        whole[index] += 1
    if by_remainder and (rest := total - sum(whole)):
        whole[by_remainder[0]] += rest
    return whole


def gst(taxable_paise: int, percent: int | Fraction, *, is_interstate: bool = False) -> Tax:
    """Each head rounded half up; SGST is a copy of CGST, never computed apart."""
    if is_interstate:
        return Tax(igst_paise=nearest(taxable_paise * percent.numerator, 100 * percent.denominator))
    half = nearest(taxable_paise * percent.numerator, 200 * percent.denominator)
    return Tax(cgst_paise=half, sgst_paise=half)


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves upwards."""
    return floor(value + Fraction(1, 2))


def nearest(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
