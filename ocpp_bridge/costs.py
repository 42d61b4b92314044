"""Who can show what a session costs: only a charger that says so is told."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet

from ocpp_bridge.models import Command, ConfigurationValue
from ocpp_bridge.saying import COST_VENDOR
from stations.models import Charger

KEY_16 = "CustomDisplayCostAndPrice"
"""OCA application note "OCPP & California Pricing Requirements", configuration keys."""
KEYS_2 = ("TariffCostCtrlr.Available[Cost]", "TariffCostCtrlr.Enabled[Cost]")
"""OCPP 2.0.1 part 2 appendix, TariffCostCtrlr. A charger that lists the controller without these two can, too."""


def can_show(protocol: str, reported: Mapping[str, str | None]) -> bool:
    """By the keys that it reported and has."""
    if protocol == "ocpp1.6":
        return _word(reported.get(KEY_16)) == "true"
    listed = any(key.startswith("TariffCostCtrlr.") for key in reported)
    return listed and not any(_word(reported.get(key)) == "false" for key in KEYS_2)


def _word(value: str | None) -> str:
    return (value or "").strip().lower()


def said() -> QuerySet[ConfigurationValue]:
    """What chargers reported about showing costs."""
    names = Q(key=KEY_16) | Q(key__startswith="TariffCostCtrlr.")
    return ConfigurationValue.objects.filter(names, is_unknown=False)


def able(chargers: Iterable[Charger]) -> set[int]:
    """Those of them that can show a cost. One query."""
    protocols = {charger.pk: charger.protocol for charger in chargers}
    reported: dict[int, dict[str, str | None]] = defaultdict(dict)
    for charger_id, key, value in said().filter(charger__in=protocols).values_list("charger_id", "key", "value"):
        reported[charger_id][key] = value
    return {pk for pk, values in reported.items() if can_show(protocols[pk], values)}


def flaw_of(*, charger: Charger, action: str, parameters: Mapping[str, Any]) -> str:
    """Why this may not be said to it; '' when it may. Queries only for what is about a cost."""
    is_cost = action == Command.Action.COST_UPDATED
    is_cost |= action == Command.Action.DATA_TRANSFER and parameters.get("vendor_id") == COST_VENDOR
    if not is_cost or able([charger]):
        return ""
    key = KEY_16 if charger.protocol == "ocpp1.6" else "TariffCostCtrlr"
    return f"This charger does not say that it can show costs ({key})."
