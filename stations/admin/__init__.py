"""The registry on the desk: networks, sites, chargers, connectors with their "why", tariffs, history."""

from stations import registry_admin, roaming_admin, tariff_admin, ubc_admin, webhook_admin
from stations.admin.chargers import ChargerAdmin
from stations.admin.connectors import ConnectorAdmin, StatusChangeAdmin
from stations.admin.networks import CPOCommandAdmin, PartyAdmin, SourceAdmin
from stations.admin.scope import EVERYBODY, KEEPERS, RegistryScope
from stations.admin.sites import LocationAdmin
from stations.health.admin import EvseHealthAdmin, MaintenanceTicketAdmin

__all__ = [
    "EVERYBODY", "KEEPERS", "CPOCommandAdmin", "ChargerAdmin", "ConnectorAdmin", "EvseHealthAdmin", "LocationAdmin",
    "MaintenanceTicketAdmin", "PartyAdmin", "RegistryScope", "SourceAdmin", "StatusChangeAdmin", "registry_admin",
    "roaming_admin", "tariff_admin", "ubc_admin", "webhook_admin",
]  # fmt: skip
