"""What stations tell the apps above them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
class RoamingSessionChanged:
    """A CPO told something new of a session of ours (OCPI words: ACTIVE, COMPLETED, ...; old "" for a new one)."""

    roaming_session_id: int
    source_id: int
    old: str
    new: str
    at: datetime


@dataclass(frozen=True)
class RoamingCDRReceived:
    """A CPO sent its final record of a session, or (is_credit) took one back."""

    roaming_cdr_id: int
    source_id: int
    is_credit: bool
    at: datetime


@dataclass(frozen=True)
class CDRConflictFound:
    """A CPO sent another CDR under an id that it used before: refused, and to be looked at by finance."""

    conflict_id: int
    roaming_cdr_id: int
    source_id: int
    at: datetime


@dataclass(frozen=True)
class CommandAnswered:
    """A command other than a reservation has its result (CPOCommand.State, or no_session); `key` is the asker's.

    `reason` is the network's own word; `command_id` None: a charger of ours answered, with `result` where there is more
    to tell (as OCPI tells it).
    """

    command_id: int | None
    kind: str
    key: str
    state: str
    reason: str
    at: datetime
    result: dict[str, Any] | None = None


@dataclass(frozen=True)
class NetworkOrderChanged:
    """An order at a UBC network moved on (values of UBCOrder.State); `transaction_ref` is ours, as a stop names it.

    `reason` is the network's own word, where it gave one.
    """

    order_id: int
    connector_id: int
    transaction_ref: str
    reservation_key: str
    id_token: str
    old: str
    new: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class NetworkOrderSettled:
    """What an order cost in the end, or was given back: `balance_paise` above 0 is still owed, below 0 comes back."""

    order_id: int
    transaction_ref: str
    id_token: str
    currency: str
    paid_paise: int
    value_paise: int
    refunded_paise: int
    balance_paise: int
    at: datetime


@dataclass(frozen=True)
class UnpaidBalanceCarried:
    """A confirmed order pays for an earlier one (None: nobody knows which); `expected_paise` is what we held open."""

    order_id: int
    earlier_order_id: int | None
    named_order_id: str
    amount_paise: int
    expected_paise: int | None
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
