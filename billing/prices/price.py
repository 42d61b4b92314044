"""What a session is priced by: a contract, a subscription or a public tariff, with the version that it is pinned to."""

from dataclasses import dataclass
from typing import Any

from billing.prices.elements import discounted, with_included
from billing.prices.models import NegotiatedRate, PlanVersion
from billing.prices.services.resolution import Subscribed
from stations.models import Tariff

CONTRACT, SUBSCRIPTION, TARIFF = "contract", "subscription", "tariff"


@dataclass(frozen=True)
class Price:
    """`elements` and `terms` as OCPI has them, before included energy, with the version that they come from.

    `subscribed` is told where its included energy may be used.
    """

    kind: str
    name: str
    currency: str
    elements: list[dict[str, Any]]
    terms: dict[str, Any]
    tariff: Tariff | None = None
    rate: NegotiatedRate | None = None
    plan_version: PlanVersion | None = None
    subscribed: Subscribed | None = None

    def including(self, wh: int) -> list[dict[str, Any]]:
        return with_included(self.elements, wh) if wh else self.elements


def of_tariff(tariff: Tariff) -> Price:
    return Price(TARIFF, str(tariff), tariff.currency, tariff.elements, tariff.terms, tariff=tariff)


def of_rate(rate: NegotiatedRate) -> Price:
    return Price(CONTRACT, str(rate), rate.currency, rate.elements, rate.terms, rate=rate)


def of_plan(version: PlanVersion, subscribed: Subscribed | None, tariff: Tariff | None) -> Price | None:
    """Its own prices, else the public tariff less its discount; None without either."""
    if version.elements:
        return Price(
            SUBSCRIPTION, str(version), version.currency, version.elements, version.terms, plan_version=version,
            subscribed=subscribed,
        )  # fmt: skip
    if tariff is None:
        return None
    percent = version.discount_percent
    elements = discounted(tariff.elements, percent) if percent else tariff.elements
    return Price(
        SUBSCRIPTION, str(version), tariff.currency, elements, tariff.terms, tariff=tariff, plan_version=version,
        subscribed=subscribed,
    )  # fmt: skip
