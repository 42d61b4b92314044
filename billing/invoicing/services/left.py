"""What of an invoice may still be given back: its lines and its debit notes less all credit notes, rate by rate."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from billing.gst.heads import Heads, inside, round_off, spread, tax_on
from billing.invoicing.grouping import Part
from billing.invoicing.models import DocumentLine, TaxDocument
from billing.invoicing.services.drafting import Draft
from fleetcharge.lib.api import Conflict

Kind = TaxDocument.Kind
Taken = list[tuple[DocumentLine, int, Heads]]


class _Sums:
    """Taxable value and taxes; CGST and SGST are always alike."""

    def __init__(self) -> None:
        self.taxable = self.cgst = self.igst = 0

    def add(self, line: DocumentLine, sign: int = 1) -> None:
        self.taxable += sign * line.taxable_paise
        self.cgst += sign * line.cgst_paise
        self.igst += sign * line.igst_paise

    def take(self, paise: int, heads: Heads) -> Heads:
        """Never more tax than there is; what is taken last takes the paise of earlier roundings with it."""
        if paise == self.taxable:
            heads = Heads(max(0, self.cgst), max(0, self.cgst), max(0, self.igst))
        cgst, igst = min(heads.cgst_paise, max(0, self.cgst)), min(heads.igst_paise, max(0, self.igst))
        self.taxable, self.cgst, self.igst = self.taxable - paise, self.cgst - cgst, self.igst - igst
        return Heads(cgst, cgst, igst)


def _less(lines: Iterable[DocumentLine], gone: dict[tuple[str, Decimal], int]) -> dict[int, int]:
    """Line id -> what it has left: notes name lines by their words, and lines of the same words give in order."""
    found = {}
    for line in lines:
        words = line.description, line.rate_percent
        taken = min(line.taxable_paise, gone[words])
        gone[words] -= taken
        found[line.pk] = line.taxable_paise - taken
    return found


class Left:
    """A line gives no more than itself, all lines of a rate no more than is left of the rate, in any words."""

    def __init__(self, original: TaxDocument, lines: Iterable[DocumentLine], of_notes: Iterable[DocumentLine]) -> None:
        self.original = original
        self.lines = {line.pk: line for line in lines}
        self.rates: dict[Decimal, _Sums] = defaultdict(_Sums)
        gone: dict[tuple[str, Decimal], int] = defaultdict(int)
        self.round_off = original.round_off_paise
        for line in self.lines.values():
            self.rates[line.rate_percent].add(line)
        for line in of_notes:
            self.rates[line.rate_percent].add(line, line.document.sign)
            if line.document.kind == Kind.CREDIT_NOTE:
                gone[line.description, line.rate_percent] += line.taxable_paise
        self.of_lines = _less(self.lines.values(), gone)
        notes = {line.document_id: line.document for line in of_notes}.values()
        self.round_off += sum(note.sign * note.round_off_paise for note in notes)
        self._given = sum(note.sign * note.total_paise for note in notes)

    def everything(self) -> dict[int, int]:
        """Line id -> taxable paise."""
        rest = {rate: sums.taxable for rate, sums in self.rates.items()}
        found = {}
        for pk, line in self.lines.items():
            found[pk] = max(0, min(self._of_line(line), rest[line.rate_percent]))
            rest[line.rate_percent] -= found[pk]
        return found

    def part(self, total_paise: int) -> dict[int, int]:
        """Line id -> taxable paise that come to so much with their tax, give or take two; the biggest lines first."""
        rest, found = total_paise, {}
        for pk, paise in sorted(self.everything().items(), key=lambda entry: (-entry[1], entry[0])):
            rate = Fraction(self.lines[pk].rate_percent)
            most, _ = inside(rest, rate, is_interstate=bool(self.original.igst_paise))
            if taken := min(paise, most):
                found[pk] = taken
                [heads] = tax_on([(taken, rate)], is_interstate=bool(self.original.igst_paise))
                rest -= taken + heads.total_paise
            if rest <= 0:
                break
        return found

    def take(self, wanted: Mapping[int, int]) -> Taken:
        """Raises Conflict when nothing is left, or less than that."""
        if not wanted:
            raise Conflict("Nothing of this invoice is left.", code="nothing_left")
        return [self._take(pk, paise) for pk, paise in wanted.items()]

    def round_off_paise(self, taken: Taken) -> int:
        """After `take`: with the last of it goes what the invoice was rounded by, so that the totals agree, too."""
        if any(sums.taxable for sums in self.rates.values()):
            return 0
        return max(self.round_off, -sum(paise + heads.total_paise for _, paise, heads in taken))

    def total_paise(self) -> int:
        """With tax and round-off."""
        return self.original.total_paise + self._given

    def taxable_paise(self) -> int:
        return sum(sums.taxable for sums in self.rates.values())

    def heads(self) -> Heads:
        cgst = max(0, sum(sums.cgst for sums in self.rates.values()))
        return Heads(cgst, cgst, max(0, sum(sums.igst for sums in self.rates.values())))

    def keep_tax(self) -> "Left":
        """The same room before tax: from a day on a note lowers the tax no more."""
        self._given -= self.heads().total_paise
        for sums in self.rates.values():
            sums.cgst = sums.igst = 0
        return self

    def _of_line(self, line: DocumentLine) -> int:
        return self.of_lines[line.pk]

    def _take(self, pk: int, paise: int) -> tuple[DocumentLine, int, Heads]:
        line = self.lines.get(pk)
        if line is None or not 0 < paise <= min(self._of_line(line), self.rates[line.rate_percent].taxable):
            raise Conflict("A line has less left than that.", code="more_than_left")
        heads = Heads(line.cgst_paise, line.sgst_paise, line.igst_paise)
        if paise != line.taxable_paise:
            [heads] = tax_on([(paise, Fraction(line.rate_percent))], is_interstate=bool(self.original.igst_paise))
        return line, paise, self.rates[line.rate_percent].take(paise, heads)


def of(original: TaxDocument) -> Left:
    """Call it with the original locked."""
    notes = DocumentLine.objects.filter(
        document__original=original, document__kind__in=[Kind.CREDIT_NOTE, Kind.DEBIT_NOTE]
    )
    return Left(original, original.lines.all(), list(notes.select_related("document").order_by("pk")))


def bounded(draft: Draft, room: Left) -> Draft:
    """A credit note cut to what is left of its invoice, before tax, head by head, and in all; most fit as they are."""
    rest, heads = room.taxable_paise(), room.heads()
    is_all = draft.taxable_paise >= rest
    fits = draft.taxable_paise <= rest and draft.total_paise <= room.total_paise()
    if fits and draft.heads.cgst_paise <= heads.cgst_paise and draft.heads.igst_paise <= heads.igst_paise:
        return draft
    lines = _cut(draft.lines, max(0, rest))
    taxable = sum(line.taxable_paise for line in lines)
    if not is_all:
        own = draft.heads
        heads = Heads(
            min(own.cgst_paise, heads.cgst_paise), min(own.sgst_paise, heads.sgst_paise),
            min(own.igst_paise, heads.igst_paise),
        )  # fmt: skip
    exact = taxable + heads.total_paise
    in_all = max(0, room.total_paise())
    total = in_all if is_all else min(exact + round_off(exact), in_all)
    return replace(draft, lines=lines, shares=_shares(lines, heads), rounded_by_paise=total - exact)


def _cut(lines: Iterable[Part], paise: int) -> list[Part]:
    kept = []
    for line in lines:
        taken = min(line.taxable_paise, paise)
        paise -= taken
        if taken:
            kept.append(replace(line, taxable_paise=taken))
    return kept


def _shares(lines: list[Part], heads: Heads) -> list[Heads]:
    whole = sum(line.taxable_paise for line in lines)
    parts = [Fraction(line.taxable_paise, whole) for line in lines]
    cgst = spread([part * heads.cgst_paise for part in parts], heads.cgst_paise)
    igst = spread([part * heads.igst_paise for part in parts], heads.igst_paise)
    return [Heads(state, state, integrated) for state, integrated in zip(cgst, igst, strict=True)]
