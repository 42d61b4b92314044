"""What stations tell the apps above them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ConnectorStatusChanged:
    """The status we show for one connector changed (values of Connector.Status)."""

    connector_id: int
    location_id: int
    old: str
    new: str
    reason: str
    at: datetime
    change_id: int = 0
    """The StatusChange that keeps it."""


@dataclass(frozen=True)
class ChargerWentSilent:
    """Nothing has been heard of one of our chargers for longer than its heartbeat allows, or its socket closed."""

    charger_id: int
    location_id: int
    organisation_id: int
    at: datetime


@dataclass(frozen=True)
class ChargerCameBack:
    """A charger opened a socket again."""

    charger_id: int
    location_id: int
    organisation_id: int
    at: datetime


@dataclass(frozen=True)
class ChargerBooted:
    """A charger said BootNotification (values of Charger.Registration): it may have forgotten what it was told."""

    charger_id: int
    location_id: int
    organisation_id: int
    registration: str
    at: datetime


@dataclass(frozen=True)
class ChargerNeedsAttention:
    """A charger said something that a person should look at.

    `cause` names the matter (security, firmware, log, certificate, clock, component), `key` tells one from the next
    within it; `is_bad`: act now.
    """

    charger_id: int
    location_id: int
    organisation_id: int
    cause: str
    key: str
    title: str
    detail: str
    is_bad: bool
    at: datetime


@dataclass(frozen=True)
class ChargerMatterSettled:
    """What `ChargerNeedsAttention` said with the same cause and key is over."""

    charger_id: int
    organisation_id: int
    cause: str
    key: str
    at: datetime


@dataclass(frozen=True)
class SourceStateChanged:
    """A network started or stopped failing (values of Source.State)."""

    source_id: int
    old: str
    new: str
    at: datetime


@dataclass(frozen=True)
class ReservationAnswered:
    """A network decided about a reservation: state is accepted | rejected | cancelled | expired | failed | timed_out.

    `reservation_key` is the id we gave it; `reason` is the network's own word (Occupied, EVSE_INOPERATIVE, ...).
    """

    reservation_key: str
    state: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class TariffChanged:
    tariff_id: int
    external_id: str
    source_id: int


@dataclass(frozen=True)
class LocationChanged:
    """A site was added, moved or removed."""

    location_id: int
