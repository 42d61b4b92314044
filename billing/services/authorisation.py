"""May this token charge here, now, and who pays? One decision with its reason, the same for every door."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Lower

from billing.models import Wallet
from billing.services.wallets import FLOOR_HOLD_PAISE
from stations.models import Location, NetworkAccess
from vehicles.models import IdToken, Shift, Vehicle
from vehicles.services import driver_at

ACCEPTED = "accepted"
UNKNOWN_TOKEN = "unknown_token"  # noqa: S105
BLOCKED_TOKEN = "blocked_token"  # noqa: S105
EXPIRED_TOKEN = "expired_token"  # noqa: S105
NETWORK_NOT_AUTHORISED = "network_not_authorised"
WALLET_FROZEN = "wallet_frozen"
INSUFFICIENT = "insufficient"
NO_WALLET = "no_wallet"


@dataclass(frozen=True)
class Decision:
    """`organisation_id` is who would pay: the token's fleet, or the station owner's when the token is unknown."""

    is_accepted: bool
    reason: str
    organisation_id: int | None
    vehicle_id: int | None = None
    driver_id: int | None = None
    id_token_id: int | None = None
    expires_at: datetime | None = None


def authorise(*, id_token: str, connector_id: int | None, charger_id: int | None, at: datetime) -> Decision:
    """Decide for the station's clock `at`. Holds nothing; some six indexed queries."""
    location = _location(connector_id, charger_id)
    token = _token(id_token)
    if token is None:
        return Decision(False, UNKNOWN_TOKEN, _owner_id(location))
    vehicle_id, driver_id = _vehicle_and_driver(token, at)
    reason = _token_problem(token, at) or _place_problem(token, location) or _wallet_problem(token) or ACCEPTED
    return Decision(
        reason == ACCEPTED, reason, token.organisation_id, vehicle_id, driver_id, token.pk, token.valid_until
    )


def _token(uid: str) -> IdToken | None:
    """Tokens compare without case; served by the unique index over lower(uid)."""
    return IdToken.objects.alias(key=Lower("uid")).filter(key=uid.strip().lower()).select_related("vehicle").first()


def _location(connector_id: int | None, charger_id: int | None) -> Location | None:
    if connector_id is None and charger_id is None:
        return None
    where = Q(evses__connectors=connector_id) if connector_id is not None else Q(chargers=charger_id)
    return Location.objects.filter(where).select_related("source").first()


def _owner_id(location: Location | None) -> int | None:
    if location is None:
        return None
    return location.organisation_id or location.source.organisation_id


def _token_problem(token: IdToken, at: datetime) -> str:
    if not token.is_active:
        return BLOCKED_TOKEN
    return "" if token.is_valid(at) else EXPIRED_TOKEN


def _place_problem(token: IdToken, location: Location | None) -> str:
    """Another fleet's depot is closed; a network needs a contract, our own chargers do not."""
    if location is None:
        return ""
    if location.organisation_id not in (None, token.organisation_id):
        return NETWORK_NOT_AUTHORISED
    if location.source.organisation_id == token.organisation_id:
        return ""
    access = NetworkAccess.objects.filter(organisation_id=token.organisation_id, source_id=location.source_id)
    return "" if access.exists() else NETWORK_NOT_AUTHORISED


def _wallet_problem(token: IdToken) -> str:
    wallet = Wallet.objects.filter(organisation_id=token.organisation_id).first()
    if wallet is None:
        return NO_WALLET
    if wallet.state != Wallet.State.ACTIVE:
        return WALLET_FROZEN
    return "" if wallet.available_paise >= FLOOR_HOLD_PAISE else INSUFFICIENT


def _vehicle_and_driver(token: IdToken, at: datetime) -> tuple[int | None, int | None]:
    """The token names one or both; the shift running at `at`, then the usual driver, fill the gap."""
    vehicle, driver_id = token.vehicle, token.driver_id
    if vehicle is None and driver_id is not None:
        vehicle = _vehicle_of(driver_id, at)
    if vehicle is not None and driver_id is None:
        driver = driver_at(vehicle_id=vehicle.pk, at=at)
        driver_id = driver.pk if driver else None
    return (vehicle.pk if vehicle else None), driver_id


def _vehicle_of(driver_id: int, at: datetime) -> Vehicle | None:
    shift = (
        Shift.objects.covering(at).filter(driver_id=driver_id).select_related("vehicle").order_by("starts_at").last()
    )
    if shift:
        return shift.vehicle
    usual = Vehicle.objects.filter(default_driver_id=driver_id, is_active=True)[:2]
    return usual[0] if len(usual) == 1 else None
