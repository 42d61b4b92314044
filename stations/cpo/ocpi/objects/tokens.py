"""Tokens (module `tokens`): ours, which CPOs hold, and the question whether one may charge."""

from dataclasses import dataclass
from datetime import datetime

from stations.cpo.ocpi.objects.base import Text, Wire


class LocationReferencesIn(Wire):
    """Where somebody wants to charge. 2.1.1 may also name connectors."""

    location_id: Text
    evse_uids: list[Text] = []


@dataclass(frozen=True)
class TokenDoc:
    """One token of one of our fleets; `type` as OCPI names it."""

    uid: str
    type: str
    is_valid: bool
    updated_at: datetime
    group_id: str = ""
    visual_number: str = ""
    issuer: str = "FleetCharge"


@dataclass(frozen=True)
class Authorization:
    """ALLOWED, BLOCKED, EXPIRED, NO_CREDIT or NOT_ALLOWED, and why, for the driver at the charger."""

    allowed: str
    token: TokenDoc
    info: str = ""
