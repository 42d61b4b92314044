"""What dispatch tells its own subscribers (live map, outgoing webhooks)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class PlanChanged:
    """A plan was made, decided, replaced or closed (values of ChargePlan.State)."""

    plan_id: int
    organisation_id: int
    vehicle_id: int
    state: str
    at: datetime


@dataclass(frozen=True)
class DriverLinkMade:
    """A plan has a new link to its driver's page. The link itself is told to those only who may hand it on."""

    link_id: int
    plan_id: int
    organisation_id: int
    at: datetime


EXTENDED = "extended"
"""Reason of a ReservationChanged that says only that it lasts longer."""


@dataclass(frozen=True)
class ReservationChanged:
    reservation_number: int
    organisation_id: int
    connector_id: int
    vehicle_id: int
    state: str
    reason: str
    at: datetime
    plan_id: int | None = None


@dataclass(frozen=True)
class SessionCommandChanged:
    """What was asked of a plug or a session has an answer, or what follows from it (values of SessionCommand.State)."""

    command_id: int
    organisation_id: int
    state: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class AlertChanged:
    """op is add | upd | del."""

    alert_id: int
    organisation_id: int
    op: str
    revision: int


@dataclass(frozen=True)
class ReservationBreached:
    """Somebody else began to charge on a promised connector; `state` is flagged | stopping."""

    breach_id: int
    reservation_number: int
    organisation_id: int
    session_id: int
    state: str
    at: datetime
