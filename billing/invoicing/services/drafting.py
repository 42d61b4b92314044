"""What documents would say: what is to be billed, by parties, grouped, taxed once per rate; no number yet."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any

from billing.gst.heads import Heads, round_off, tax_on, total_of
from billing.gst.numbering import day_in_india
from billing.gst.supply import Supply
from billing.invoicing.grouping import Part, Priced, grouped
from billing.invoicing.models import OrganisationRegistration, SupplierRegistration
from billing.invoicing.services import items as items_service
from billing.invoicing.services.items import Item
from billing.invoicing.services.parties import Parties, parties_of, supply_of
from billing.invoicing.services.rules import Name, Rules
from billing.prices.services.invoicing import FeeItem, fees_of_many
from fleetcharge.accounts.models import Organisation

RateOf = Callable[[Item | FeeItem, Priced, Fraction], Fraction]


@dataclass(frozen=True)
class Draft:
    """What a document would say; it has no number yet."""

    organisation: Organisation
    supplier: SupplierRegistration
    recipient: OrganisationRegistration | None
    supply: Supply
    items: list[Item]
    lines: list[Part]
    shares: list[Heads]
    fees: list[FeeItem] = field(default_factory=list)
    rounded_by_paise: int | None = None
    """None: to the nearest rupee."""

    @cached_property
    def heads(self) -> Heads:
        return total_of(self.shares)

    @cached_property
    def taxable_paise(self) -> int:
        return sum(line.taxable_paise for line in self.lines)

    @property
    def round_off_paise(self) -> int:
        exact = self.taxable_paise + self.heads.total_paise
        return round_off(exact) if self.rounded_by_paise is None else self.rounded_by_paise

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.heads.total_paise + self.round_off_paise

    @cached_property
    def charged_paise(self) -> int:
        return sum(item.total_paise for item in self.billed)

    @property
    def billed(self) -> list[Item | FeeItem]:
        """Sessions and their corrections, and fees of subscriptions."""
        return [*self.items, *self.fees]


def drafts_for(organisation: Organisation, *, before: datetime, rules: Rules) -> list[Draft]:
    """One per (our GSTIN, the fleet's GSTIN) for all that is billable before that instant."""
    return drafts_of([organisation], before=before, rules=rules)


def drafts_of(organisations: Collection[Organisation], *, before: datetime, rules: Rules) -> list[Draft]:
    """As `drafts_for`, of several fleets in as many queries as of one."""
    ids = [organisation.pk for organisation in organisations]
    items = items_service.items_of(ids, before=before)
    fees = fees_of_many(ids, before=day_in_india(before))
    parties = parties_of(organisations)
    return [
        one
        for organisation in organisations
        for one in _drafts(
            parties[organisation.pk], items.get(organisation.pk, []), fees.get(organisation.pk, []), rules
        )
    ]


def _drafts(parties: Parties, items: list[Item], fees: list[FeeItem], rules: Rules) -> list[Draft]:
    groups: dict[Any, list[Item]] = defaultdict(list)
    for item in items:
        supplier = parties.supplier_in(item.place.state if item.place.is_own else None)
        recipient = parties.recipient_of(item.vehicle)
        groups[supplier.gstin, recipient.gstin if recipient else "", supplier, recipient].append(item)
    if fees:
        supplier, recipient = parties.supplier(), parties.recipient()
        with_fees = (supplier.gstin, recipient.gstin if recipient else "", supplier, recipient)
        groups[with_fees] = groups[with_fees]
    made = [
        draft(parties.organisation, key[2], key[3], own, rules, fees=fees if fees and key == with_fees else ())
        for key, own in sorted(groups.items(), key=lambda entry: entry[0][:2])
    ]
    return [one for one in made if one.taxable_paise > 0]


def draft(
    organisation: Organisation,
    supplier: SupplierRegistration,
    recipient: OrganisationRegistration | None,
    items: list[Item],
    rules: Rules,
    sign: int = 1,
    fees: Sequence[FeeItem] = (),
    supply: Supply | None = None,
    rate_of: RateOf = lambda item, line, rate: rate,
) -> Draft:
    """`sign` -1: the items take away, and the document shows what it gives back as positive amounts. A note has the
    supply of the document that it corrects, and `rate_of` says which of its rates."""
    supply = supply or supply_of(supplier, recipient)
    billed: list[Item | FeeItem] = [*items, *fees]
    lines = grouped(_parts(billed, supply, rules, sign, rate_of), max_items=rules.number(Name.MAX_ITEMS))
    taxables = [(line.taxable_paise, line.rate) for line in lines]
    return Draft(
        organisation, supplier, recipient, supply, items, lines, tax_on(taxables, is_interstate=supply.is_interstate),
        list(fees),
    )  # fmt: skip


def _parts(
    billed: Iterable[Item | FeeItem], supply: Supply, rules: Rules, sign: int, rate_of: RateOf
) -> Iterable[Part]:  # fmt: skip
    for item in billed:
        then = rules.at(item.on)
        for line in item.lines:
            usual = then.charging_rate if line.rate is None else line.rate
            rate = Fraction(0) if supply.is_zero_rated else rate_of(item, line, usual)
            yield Part(
                then.sac_code, rate, item.site, item.network, line.component, line.unit, line.quantity,
                sign * line.paise,
            )  # fmt: skip
