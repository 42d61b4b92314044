"""A limit for one session where no site shares its power: a TxProfile of ours, and what the charger says it will do."""

from datetime import datetime
from typing import Any

from ocpp_bridge.charging.outlets import outlet_at
from ocpp_bridge.charging.profiles import TX, profile_of
from ocpp_bridge.models import ChargingSite, ConfigurationValue
from stations.models import EVSE, Charger

PROFILES = "SupportedFeatureProfiles"
SWITCHES = ("SmartChargingCtrlr.Available", "SmartChargingCtrlr.Enabled")


def is_limitable(evse: EVSE) -> bool:
    """By a charger of ours that does not say it cannot, and where no plan of the site would take the limit away."""
    if evse.charger_id is None or ChargingSite.objects.filter(pk=evse.location_id, is_active=True).exists():
        return False
    said = ConfigurationValue.objects.filter(charger=evse.charger_id, key__in=(PROFILES, *SWITCHES))
    values = {key: (value or "").lower() for key, value in said.values_list("key", "value")}
    can_profile = not values.get(PROFILES) or "smartcharging" in values[PROFILES]
    return can_profile and "false" not in (values.get(name) for name in SWITCHES)


def limit_of(evse: EVSE, charger: Charger, watts: int, now: datetime) -> dict[str, Any]:
    """The session's profile from now to its end; the number is that of a site's plan, which so replaces it one day."""
    outlet = outlet_at(evse, charger)
    return profile_of(
        [[int(now.timestamp()), None, watts]], purpose=TX, evse_number=evse.evse_number, unit=outlet.unit,
        wiring=outlet.wiring, stack_level=min(1, outlet.known.max_stack_level or 0),
    )  # fmt: skip


def unit_of(evse: EVSE, charger: Charger) -> str:
    return outlet_at(evse, charger).unit
