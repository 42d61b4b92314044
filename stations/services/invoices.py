"""Does an invoice of a CPO agree with the CDRs we hold? (OCPI 2.3.0 invoice reconciliation, direct billing.)"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models.functions import Lower

from stations.cpo.ocpi.models import PeerDocument, RoamingCDR


@dataclass
class Total:
    """`after_taxes` None: some CDR does not say its tax."""

    before_taxes: Decimal = Decimal(0)
    after_taxes: Decimal | None = Decimal(0)

    def add(self, cdr: RoamingCDR) -> None:
        self.before_taxes += cdr.total_before_taxes or 0
        known = self.after_taxes is not None and cdr.total_after_taxes is not None
        self.after_taxes = self.after_taxes + cdr.total_after_taxes if known else None  # type: ignore[operator]


@dataclass(frozen=True)
class Comparison:
    """What the invoice should come to, by currency; ids we do not hold, named twice, or named by another invoice."""

    totals: Mapping[str, Total] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    on_another: tuple[str, ...] = ()


def compare(invoice: PeerDocument) -> Comparison:
    """Two queries. Ids compare without case."""
    named = {each.lower(): each for each in invoice.cdr_ids}
    prefix = invoice.key.rsplit("*", 1)[0].lower()
    rows = RoamingCDR.objects.filter(source=invoice.source).annotate(lower_key=Lower("key"))
    held = {row.lower_key.split("*", 2)[-1]: row for row in rows.filter(lower_key__in=[f"{prefix}*{n}" for n in named])}
    totals: dict[str, Total] = {}
    for row in held.values():
        totals.setdefault(row.currency, Total()).add(row)
    counted = Counter(each.lower() for each in invoice.cdr_ids)
    return Comparison(
        totals=totals,
        missing=tuple(word for number, word in named.items() if number not in held),
        twice=tuple(named[number] for number, times in counted.items() if times > 1),
        on_another=_on_another(invoice, named),
    )


def _on_another(invoice: PeerDocument, named: Mapping[str, str]) -> tuple[str, ...]:
    others = PeerDocument.objects.filter(source=invoice.source, kind=PeerDocument.Kind.INVOICE, is_deleted=False)
    found = {
        each.lower() for other in others.exclude(pk=invoice.pk).values_list("cdr_ids", flat=True) for each in other
    }
    return tuple(word for number, word in named.items() if number in found)
