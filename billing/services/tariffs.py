"""Which price list applies at a connector at a moment, and what a session or a reservation there would cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Q

from billing import rating
from billing.models import ChargingSession
from billing.prices.price import Price, of_plan, of_rate, of_tariff
from billing.prices.services import allowances, resolution
from billing.rating import Rating, Reserved, TariffError
from billing.services.gst_rates import percent_at
from billing.tariff_terms import FOR_ROAMING, read_terms
from stations.models import Connector, Tariff


@dataclass(frozen=True)
class Offer:
    """A price with the version it is by and every line of it."""

    price: Price
    rated: Rating

    @property
    def tariff(self) -> Tariff | None:
        """The public tariff behind it; None for a negotiated rate and a plan with prices of its own."""
        return self.price.tariff


def price_for(
    *, connector: Connector, at: datetime, organisation_id: int | None, tariff: Tariff | None = None
) -> Price | None:
    """What an organisation is priced by: its negotiated rate, else its subscription, else the public tariff.

    `tariff`: the public one, where it is known already. Without an organisation there is only that. Needs
    evse__location.
    """
    may_have_rate = has_subscription = False
    if organisation_id is not None:
        may_have_rate, has_subscription = resolution.anything_at(
            organisation_id=organisation_id, connector=connector, at=at
        )
    if organisation_id is not None and may_have_rate:
        rate = resolution.rate_at(organisation_id=organisation_id, connector=connector, at=at)
        if rate is not None:
            return of_rate(rate)
    tariff = tariff or tariff_for(connector=connector, at=at)
    if organisation_id is not None and has_subscription:
        subscribed = resolution.subscribed_at(organisation_id=organisation_id, at=at)
        if subscribed is not None:
            return of_plan(subscribed.version, subscribed, tariff)
    return of_tariff(tariff) if tariff else None


def tariff_for(*, connector: Connector, at: datetime) -> Tariff | None:
    """The version in force at `at` that any roaming session may be priced by, or None.

    Networks tell us a tariff when we first ask, not when it began: the first version we know also covers what was
    before it. Later versions hold exactly from `valid_from` to `valid_to`, and no version outside the validity that
    it says of itself. A connector that names several is priced by the first that applies (OCPI Connector.tariff_ids).
    """
    for source_id, external_id in tariff_names(connector):
        versions = Tariff.objects.filter(source_id=source_id, external_id__lower=external_id)
        newest = versions.filter(Q(valid_from__lte=at) | Q(version=1)).order_by("-version")[:1]
        if (version := version_in_force(newest, at)) is not None:
            return version
    return None


def tariff_names(connector: Connector) -> list[tuple[int, str]]:
    """(network, name in small letters) of the tariffs that a connector names, the one it shows first."""
    current = connector.tariff
    if current is None:
        return []
    names = dict.fromkeys(name.lower() for name in (current.external_id, *connector.tariff_ids))
    return [(current.source_id, name) for name in names]


def version_in_force(versions: Iterable[Tariff], at: datetime) -> Tariff | None:
    """Of all versions of one tariff, the newest first: the one that a roaming session of `at` may be priced by."""
    first = None
    for version in versions:
        if version.valid_from <= at:
            holds = version.valid_to is None or version.valid_to > at
            return version if holds and _applies(version, at) else None
        first = version
    return first if first is not None and first.version == 1 and _applies(first, at) else None


def _applies(tariff: Tariff, at: datetime) -> bool:
    """Terms that cannot be read stay with the tariff: pricing refuses them by name."""
    try:
        terms = read_terms(tariff.terms)
    except TariffError:
        return True
    return terms.holds_at(at) and terms.type in FOR_ROAMING


def zone_of(name: str) -> ZoneInfo:
    """The location's zone; India's when the source sent nonsense."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("Asia/Kolkata")


def quote_at(
    *, connector: Connector, energy_wh: int, duration_s: int, idle_s: int = 0, at: datetime,
    organisation_id: int | None = None, vehicle_id: int | None = None,
) -> int | None:  # fmt: skip
    """Paise including GST at the price in force for that organisation; None when there is no usable one.

    Without an organisation by the public tariff. Needs evse__location.
    """
    price = price_for(connector=connector, at=at, organisation_id=organisation_id)
    if price is None:
        return None
    try:
        return rating.quote(
            elements=price.including(_included_wh(price, energy_wh, vehicle_id)), energy_wh=energy_wh,
            duration_s=duration_s, idle_s=idle_s, at=at, tz=zone_of(connector.evse.location.time_zone),
            gst_percent=percent_at(at), terms=read_terms(price.terms),
        )  # fmt: skip
    except TariffError:
        return None


def offer_at(
    *, connector: Connector, energy_wh: int, duration_s: int, idle_s: int = 0, at: datetime,
    reserved: Reserved | None = None, organisation_id: int | None = None, vehicle_id: int | None = None,
) -> Offer | None:  # fmt: skip
    """The quote before a start, line by line, with the reservation before it; None without a usable price.

    Needs evse__location. What `quote_at` says of the same session is the sum of it.
    """
    price = price_for(connector=connector, at=at, organisation_id=organisation_id)
    if price is None:
        return None
    periods = rating.even_periods(energy_wh=energy_wh, charging_s=duration_s, idle_s=idle_s)
    try:
        rated = rating.rate(
            elements=price.including(_included_wh(price, energy_wh, vehicle_id)), periods=periods, started_at=at,
            tz=zone_of(connector.evse.location.time_zone), gst_percent=percent_at(at),
            terms=read_terms(price.terms), reserved=reserved,
        )  # fmt: skip
    except TariffError:
        return None
    return Offer(price, rated)


def _included_wh(price: Price, energy_wh: int, vehicle_id: int | None) -> int:
    """What of it is included, as far as is known now."""
    if price.subscribed is None:
        return 0
    return min(energy_wh, allowances.left_wh(price.subscribed, vehicle_id=vehicle_id))


def reservation_offer(*, connector: Connector, reserved: Reserved) -> Offer | None:
    """What a reservation alone costs, used or (is_expired) missed; None without a usable tariff."""
    tariff = tariff_for(connector=connector, at=reserved.started_at)
    if tariff is None:
        return None
    try:
        rated = rating.rate_reservation(
            elements=tariff.elements, reserved=reserved, tz=zone_of(connector.evse.location.time_zone),
            gst_percent=percent_at(reserved.started_at), terms=read_terms(tariff.terms),
        )  # fmt: skip
    except TariffError:
        return None
    return Offer(of_tariff(tariff), rated)


def running_offer(session: ChargingSession, *, now: datetime) -> Offer | None:
    """What a session costs so far, by the price in force at its start; None when that cannot be said.

    Reads connector__evse__location and connector__tariff.
    """
    seconds = max(0, int(((session.ended_at or now) - session.started_at).total_seconds()))
    return offer_at(
        connector=session.connector, energy_wh=session.energy_wh, duration_s=seconds, at=session.started_at,
        organisation_id=session.organisation_id, vehicle_id=session.vehicle_id,
    )  # fmt: skip
