"""Every write to the registry."""

from stations.services.keys import ProfileOnlyRises, new_charger_key, raise_security_profile, stage_charger_key
from stations.services.networks import (
    finish_cpo_command,
    is_push_noted,
    push_received,
    source_failed,
    source_polled,
    switch_source,
)
from stations.services.onboarding import onboard_charger
from stations.services.presence import (
    charger_connected,
    charger_disconnected,
    chargers_present,
    node_holds,
    node_lost,
    register_boot,
    show_silent,
)
from stations.services.sites import (
    external_key_of,
    find_evse,
    find_location,
    remove_location,
    update_location,
    upsert_connector,
    upsert_evse,
    upsert_location,
)
from stations.services.statuses import (
    StatusReport,
    calm_connectors,
    report_evse_status,
    report_from_source,
    report_statuses,
    set_hold,
    set_session,
    switch_connector,
)
from stations.services.tariffs import assign_tariff, cache_tariff, set_prices, withdraw_tariff

__all__ = [
    "ProfileOnlyRises",
    "StatusReport",
    "assign_tariff",
    "cache_tariff",
    "calm_connectors",
    "charger_connected",
    "charger_disconnected",
    "chargers_present",
    "external_key_of",
    "find_evse",
    "find_location",
    "finish_cpo_command",
    "is_push_noted",
    "new_charger_key",
    "node_holds",
    "node_lost",
    "onboard_charger",
    "push_received",
    "raise_security_profile",
    "register_boot",
    "remove_location",
    "report_evse_status",
    "report_from_source",
    "report_statuses",
    "set_hold",
    "set_prices",
    "set_session",
    "show_silent",
    "source_failed",
    "source_polled",
    "stage_charger_key",
    "switch_connector",
    "switch_source",
    "update_location",
    "upsert_connector",
    "upsert_evse",
    "upsert_location",
    "withdraw_tariff",
]
