"""Where one can charge and whether it works right now; one registry over every network.

Django finds every model of the app here.
"""

from stations.cpo.ocpi.models import CDRConflict, PeerDocument, RoamingCDR, RoamingSession
from stations.cpo.ubc.models import UBCCarry, UBCItem, UBCKey, UBCMessage, UBCNetwork, UBCOrder, UBCRefusal
from stations.cpo.webhooks.models import DeadLetter, WebhookCount, WebhookFeed, WebhookPush
from stations.health.models import EvseHealth, HealthDay, MaintenanceTicket, SocketDay, TicketNote
from stations.models.chargers import Charger, ChargerQuerySet
from stations.models.commands import CPOCommand
from stations.models.connectors import EVSE, Connector, ConnectorQuerySet, Plug, StatusChange
from stations.models.networks import NetworkAccess, Party, Source
from stations.models.polls import PollRun
from stations.models.references import ExternalRef
from stations.models.sites import Location, LocationQuerySet
from stations.models.tariffs import Tariff
from stations.registry_models import Claim, Duplicate, StatusClaim, StatusProof

__all__ = [
    "EVSE", "CDRConflict", "CPOCommand", "Charger", "ChargerQuerySet", "Claim", "Connector", "ConnectorQuerySet",
    "DeadLetter", "Duplicate", "EvseHealth", "ExternalRef", "HealthDay", "Location", "LocationQuerySet",
    "MaintenanceTicket", "NetworkAccess", "Party", "PeerDocument", "Plug", "PollRun", "RoamingCDR", "RoamingSession",
    "SocketDay", "Source", "StatusChange", "StatusClaim", "StatusProof", "Tariff", "TicketNote", "UBCCarry", "UBCItem",
    "UBCKey", "UBCMessage", "UBCNetwork", "UBCOrder", "UBCRefusal", "WebhookCount", "WebhookFeed", "WebhookPush",
]  # fmt: skip
