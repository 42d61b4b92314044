"""What a source's word does to one connector, and what is shown of it then. Pure; on rows of the ORM or bare ones."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stations import flapping
from stations.ordering import believed
from stations.status import StatusInputs, decide

if TYPE_CHECKING:
    from stations.models import Charger, Connector

OFFLINE_GRACE = timedelta(seconds=60)


class Word(Protocol):
    """What a source says of a connector: a value of Connector.Status, its own word for it, and when."""

    @property
    def status(self) -> str: ...
    @property
    def raw_status(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def error_code(self) -> str: ...
    @property
    def error_info(self) -> str: ...


class Unit(NamedTuple):
    """A charger of ours, as far as it decides about its plugs."""

    is_faulted: bool
    is_inoperative: bool
    is_online: bool
    disconnected_at: datetime | None
    silent_shown_at: datetime | None


@dataclass(slots=True)
class Plug:
    """The columns of a Connector that words change, and those that outrank words."""

    pk: int
    status: str
    status_reason: str
    status_since: datetime
    status_at: datetime | None
    heard_at: datetime | None
    raw_status: str
    reported_status: str
    error_code: str
    error_info: str
    swings: float
    swung_at: datetime | None
    is_flapping: bool
    has_session: bool
    is_delivering: bool
    is_held: bool
    is_switched_off: bool


@dataclass(frozen=True, slots=True)
class Transition:
    """The shown status of one connector changed."""

    connector_id: int
    old: str
    new: str
    raw_status: str
    reason: str
    at: datetime


def hear(plug: "Connector | Plug", word: Word) -> bool:
    """The source's word onto a locked row, not saved and not decided on yet; False for old news."""
    at = believed(word.at, word.received_at)
    plug.heard_at = max(word.received_at, plug.heard_at or word.received_at)
    if plug.status_at is not None and at < plug.status_at:
        return False
    if word.status != plug.reported_status:
        _swing(plug, at)
    plug.status_at, plug.raw_status, plug.reported_status = at, word.raw_status, word.status
    plug.error_code, plug.error_info = word.error_code[:50], word.error_info[:255]
    return True


def _swing(plug: "Connector | Plug", at: datetime) -> None:
    """By the time of the news, so that a backlog of a day told in a second is not a plug that blinks."""
    plug.swings = flapping.swings(plug.swings, plug.swung_at, at)
    plug.swung_at = at
    plug.is_flapping = plug.is_flapping or flapping.is_too_many(plug.swings)


def decide_again(plug: "Connector | Plug", charger: "Charger | Unit | None", at: datetime) -> Transition | None:
    """Decide the shown status of a locked row, nothing saved yet; the change when there is one."""
    new, reason = decide(
        StatusInputs(
            reported=plug.reported_status,
            is_station_faulted=charger is not None and charger.is_faulted,
            is_station_inoperative=charger is not None and charger.is_inoperative,
            is_switched_off=plug.is_switched_off,
            is_offline=charger is not None and _is_offline(charger, at),
            has_session=plug.has_session,
            is_delivering=plug.is_delivering,
            is_held=plug.is_held,
            is_flapping=plug.is_flapping,
            shown=plug.status,
        )
    )
    old, plug.status_reason = plug.status, reason
    if new == old:
        return None
    plug.status, plug.status_since = new, at
    return Transition(plug.pk, old, new, plug.raw_status, reason, at)


def _is_offline(charger: "Charger | Unit", at: datetime) -> bool:
    """A reconnecting charger is no news; one that stays away is, also for reports that are older than its silence."""
    gone_at = charger.disconnected_at
    if charger.is_online or gone_at is None:
        return False
    is_shown_silent = charger.silent_shown_at is not None and charger.silent_shown_at >= gone_at
    return is_shown_silent or at - gone_at >= OFFLINE_GRACE
