"""Prices of many finished sessions in memory, by the rules and the arithmetic that each of them alone is priced by."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from billing import rating as arithmetic
from billing.charging.gathering import Agreements, is_subscribed
from billing.invoicing.services.place_of_supply import parties_of
from billing.models import CDR
from billing.prices.price import Price, of_rate, of_tariff
from billing.prices.services.resolution import rate_of
from billing.rating import TariffError
from billing.services import energy, rating, tariffs
from billing.services.rating import Samples


def price_all(cdrs: Sequence[CDR], agreements: Agreements, now: datetime) -> list[CDR]:
    """Those that have their price now, written on them and not saved; the others need a look of their own."""
    pinned = {cdr.pk: price for cdr in cdrs if (price := _price_for(cdr, agreements)) is not None}
    priced = [cdr for cdr in cdrs if cdr.pk in pinned]
    samples = _samples(priced, pinned)
    return [cdr for cdr in priced if _price(cdr, pinned[cdr.pk], agreements, samples, now)]


def _price_for(cdr: CDR, agreements: Agreements) -> Price | None:
    """As `tariffs.price_for`; None for subscribers, and where there is none."""
    if is_subscribed(cdr, agreements):
        return None
    connector, at = cdr.session.connector, cdr.started_at
    place = connector.evse.location
    agreed = agreements.rates.get((cdr.organisation_id, place.source_id), ())
    if agreed and (rate := rate_of(agreed, location_id=place.pk, at=at)) is not None:
        return of_rate(rate)
    known = cdr.tariff
    for name in () if known else tariffs.tariff_names(connector):
        if (known := tariffs.version_in_force(agreements.versions.get(name, ()), at)) is not None:
            break
    return of_tariff(known) if known else None


def _samples(cdrs: Sequence[CDR], prices: Mapping[int, Price]) -> Mapping[int, Samples]:
    """By session, where the moment counts."""
    wanted = []
    for cdr in cdrs:
        try:
            if cdr.roaming_cdr_id is None and arithmetic.is_time_dependent(prices[cdr.pk].elements):
                wanted.append(cdr.session)
        except TariffError:  # said again, and by name, where it is priced alone
            continue
    return energy.samples_of_all(wanted) if wanted else {}


def _price(
    cdr: CDR, price: Price, agreements: Agreements, samples: Mapping[int, Samples], now: datetime
) -> bool:  # fmt: skip
    supply = agreements.supplies[parties_of(cdr.session)]
    try:
        rated = rating.price_of(cdr, price, supply=supply, samples=samples.get(cdr.session_id, ()))
    except TariffError:
        return False
    cdr.tariff, cdr.negotiated_rate, cdr.included_wh = price.tariff or cdr.tariff, price.rate, 0
    rating.write(cdr, rated, now)
    return True
