"""Which price list applies at a connector at a moment, and what a session or a reservation there would cost."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

from billing import rating
from billing.models import ChargingSession
from billing.rating import Rating, Reserved, TariffError
from billing.tariff_terms import FOR_ROAMING, NO_TERMS, Terms, read_terms
from stations.models import Connector, Tariff


@dataclass(frozen=True)
class Offer:
    """A price with the version it is by and every line of it."""

    tariff: Tariff
    rated: Rating


def tariff_for(*, connector: Connector, at: datetime) -> Tariff | None:
    """The version in force at `at` that any roaming session may be priced by, or None.

    Networks tell us a tariff when we first ask, not when it began: the first version we know also covers what was
    before it. Later versions hold exactly from `valid_from` to `valid_to`, and no version outside the validity that
    it says of itself. A connector that names several is priced by the first that applies (OCPI Connector.tariff_ids).
    """
    current = connector.tariff
    if current is None:
        return None
    others = [name for name in connector.tariff_ids if name.lower() != current.external_id.lower()]
    for external_id in (current.external_id, *others):
        version = _in_force(current.source_id, external_id, at)
        if version is not None and _applies(version, at):
            return version
    return None


def _in_force(source_id: int, external_id: str, at: datetime) -> Tariff | None:
    versions = Tariff.objects.filter(source_id=source_id, external_id__iexact=external_id)
    version = versions.filter(valid_from__lte=at).order_by("-version").first()
    if version is not None:
        return version if version.valid_to is None or version.valid_to > at else None
    return versions.filter(version=1).first()


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


def quote_at(*, connector: Connector, energy_wh: int, duration_s: int, idle_s: int = 0, at: datetime) -> int | None:
    """Paise including GST at the tariff now in force; None when there is no usable tariff. Needs evse__location."""
    tariff = tariff_for(connector=connector, at=at)
    terms = _terms(tariff)
    return None if tariff is None or terms is None else rating.quote(
        elements=tariff.elements,
        energy_wh=energy_wh,
        duration_s=duration_s,
        idle_s=idle_s,
        at=at,
        tz=zone_of(connector.evse.location.time_zone),
        gst_percent=settings.GST_PERCENT,
        terms=terms,
    )  # fmt: skip


def offer_at(
    *, connector: Connector, energy_wh: int, duration_s: int, idle_s: int = 0, at: datetime,
    reserved: Reserved | None = None,
) -> Offer | None:  # fmt: skip
    """The quote before a start, line by line, with the reservation before it; None without a usable tariff.

    Needs evse__location. What `quote_at` says of the same session is the sum of it.
    """
    tariff = tariff_for(connector=connector, at=at)
    if tariff is None:
        return None
    periods = rating.even_periods(energy_wh=energy_wh, charging_s=duration_s, idle_s=idle_s)
    try:
        rated = rating.rate(
            elements=tariff.elements, periods=periods, started_at=at, tz=zone_of(connector.evse.location.time_zone),
            gst_percent=settings.GST_PERCENT, terms=read_terms(tariff.terms), reserved=reserved,
        )  # fmt: skip
    except TariffError:
        return None
    return Offer(tariff, rated)


def reservation_offer(*, connector: Connector, reserved: Reserved) -> Offer | None:
    """What a reservation alone costs, used or (is_expired) missed; None without a usable tariff."""
    tariff = tariff_for(connector=connector, at=reserved.started_at)
    if tariff is None:
        return None
    try:
        rated = rating.rate_reservation(
            elements=tariff.elements, reserved=reserved, tz=zone_of(connector.evse.location.time_zone),
            gst_percent=settings.GST_PERCENT, terms=read_terms(tariff.terms),
        )  # fmt: skip
    except TariffError:
        return None
    return Offer(tariff, rated)


def running_offer(session: ChargingSession, *, now: datetime) -> Offer | None:
    """What a session costs so far, by the tariff in force at its start; None when that cannot be said.

    Reads connector__evse__location and connector__tariff.
    """
    seconds = max(0, int(((session.ended_at or now) - session.started_at).total_seconds()))
    return offer_at(connector=session.connector, energy_wh=session.energy_wh, duration_s=seconds, at=session.started_at)


def _terms(tariff: Tariff | None) -> Terms | None:
    """None when they cannot be read: then nothing is quoted."""
    try:
        return read_terms(tariff.terms) if tariff else NO_TERMS
    except TariffError:
        return None
