"""Charged subscription fees on their way to the month's invoice."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from billing.invoicing.grouping import Priced
from billing.invoicing.models import TaxDocument
from billing.prices.models import SubscriptionFee

COMPONENT = "SUBSCRIPTION"


@dataclass(frozen=True)
class FeeItem:
    """A fee as a document wants it: like a session at no site of no network, and in no annexure."""

    fee: SubscriptionFee
    network_slug: str = ""
    site: str = ""
    network: str = ""

    @property
    def on(self) -> date:
        """Its last day: the rate of that day is on all of it."""
        return min(self.fee.period_end, self.fee.subscription.ends_before or date.max) - timedelta(days=1)

    @property
    def lines(self) -> list[Priced]:
        return [Priced(COMPONENT, "month", None, Decimal(1), self.taxable_paise)]

    @property
    def taxable_paise(self) -> int:
        return self.fee.taxable_paise

    @property
    def cgst_paise(self) -> int:
        return self.fee.cgst_paise

    @property
    def sgst_paise(self) -> int:
        return self.fee.sgst_paise

    @property
    def igst_paise(self) -> int:
        return self.fee.igst_paise

    @property
    def total_paise(self) -> int:
        return self.fee.total_paise


def fees_of(organisation: Any, *, before: date) -> list[FeeItem]:
    """Of periods that ended by that day, on no document yet, oldest first."""
    rows = _waiting(before).filter(organisation=organisation)
    return [FeeItem(row) for row in rows.order_by("period_start", "pk")]


def fees_of_many(organisation_ids: Collection[int], *, before: date) -> dict[int, list[FeeItem]]:
    """As `fees_of`, by organisation."""
    found: dict[int, list[FeeItem]] = {}
    for row in _waiting(before).filter(organisation__in=organisation_ids).order_by("period_start", "pk"):
        found.setdefault(row.organisation_id, []).append(FeeItem(row))
    return found


def organisations_waiting(*, before: date) -> set[int]:
    return set(_waiting(before).values_list("organisation", flat=True))


def put_on(document: TaxDocument, fees: list[FeeItem]) -> None:
    """Each fee is on one document; a trigger refuses a second."""
    for item in fees:
        SubscriptionFee.objects.filter(pk=item.fee.pk).update(document=document)


def _waiting(before: date) -> Any:
    waiting = SubscriptionFee.objects.filter(document=None, period_end__lte=before, total_paise__gt=0)
    return waiting.select_related("subscription")
