"""Which price list applies at a connector at a moment, and what a session there would cost."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

from billing import rating
from stations.models import Connector, Tariff


def tariff_for(*, connector: Connector, at: datetime) -> Tariff | None:
    """The version in force at `at`, or None.

    Networks tell us a tariff when we first ask, not when it began: the first version we know also covers what was
    before it. Later versions hold exactly from `valid_from` to `valid_to`.
    """
    current = connector.tariff
    if current is None:
        return None
    versions = Tariff.objects.filter(source_id=current.source_id, external_id__iexact=current.external_id)
    in_force = versions.filter(valid_from__lte=at).order_by("-version").first()
    if in_force is not None:
        return in_force if in_force.valid_to is None or in_force.valid_to > at else None
    return versions.filter(version=1).first()


def zone_of(name: str) -> ZoneInfo:
    """The location's zone; India's when the source sent nonsense."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("Asia/Kolkata")


def quote_at(*, connector: Connector, energy_wh: int, duration_s: int, idle_s: int = 0, at: datetime) -> int | None:
    """Paise including GST at the tariff now in force; None when there is no usable tariff. Needs evse__location."""
    tariff = tariff_for(connector=connector, at=at)
    return rating.quote(
        elements=tariff.elements if tariff else None,
        energy_wh=energy_wh,
        duration_s=duration_s,
        idle_s=idle_s,
        at=at,
        tz=zone_of(connector.evse.location.time_zone),
        gst_percent=settings.GST_PERCENT,
    )
