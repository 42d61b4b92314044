"""What a dispatcher may do at each plug of a site, and what is under way there: capabilities decide the buttons."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from dispatch import outlooks
from dispatch.models import Reservation, SessionCommand
from dispatch.services import asking, wishing
from fleetcharge.accounts.models import Organisation
from stations.cpo import registry
from stations.models import Connector, Source

TOLD_FOR = timedelta(minutes=10)
"""So long a refusal stands beside its plug."""
Way, State, Commands = Reservation.Way, Reservation.State, SessionCommand.State
WORDS: dict[str, str | Promise] = {
    "EVSE_OCCUPIED": _("the bay is occupied"),
    "Occupied": _("the bay is occupied"),
    "EVSE_INOPERATIVE": _("the bay is out of order"),
    "Faulted": _("the bay is out of order"),
    "Unavailable": _("the bay is switched off"),
    "NOT_SUPPORTED": _("it does not do that here"),
    "REJECTED": _("it gave no reason"),
    "Rejected": _("it gave no reason"),
    "rejected": _("it gave no reason"),
    "UNKNOWN_RESERVATION": _("it knows of no such reservation"),
    "UNKNOWN_SESSION": _("it knows of no such session"),
    "UnlockFailed": _("the cable did not come free"),
    "DEPARTURE_REQUIRED": _("it wants to know when the vehicle leaves"),
    "ENERGY_NEED_REQUIRED": _("it wants to know how much energy is needed"),
    "PROFILE_TYPE_NOT_SUPPORTED": _("it does not charge in that way"),
    "NOT_POSSIBLE": _("it cannot be done in that time"),
    "TIMEOUT": _("the charger did not answer"),
    "timed_out": _("the charger did not answer"),
    "no answer": _("it did not answer in time"),
    "not sent in time": _("it could not be reached in time"),
}
"""What networks say most often; anything else is shown as they said it."""
OF_SESSION = frozenset({SessionCommand.Kind.STOP, SessionCommand.Kind.UNLOCK, *wishing.WISHES})
"""What is asked of a running session."""


@dataclass(frozen=True)
class Held:
    """A promise of ours at one plug. `is_pending`: its network has not said its word yet."""

    number: int
    plate: str
    vehicle_id: int
    starts_at: datetime
    expires_at: datetime
    way: str
    is_pending: bool
    is_later: bool


@dataclass(frozen=True)
class Note:
    """What became of something that was asked for. `kind`: reserve, or a SessionCommand.Kind."""

    kind: str
    state: str
    plate: str
    reason: str | Promise
    is_pending: bool

    @property
    def is_wish(self) -> bool:
        """About a running session, other than to end it."""
        return self.kind in wishing.WISHES


@dataclass(frozen=True)
class Offer:
    """`hold` and `book`: how its network takes a promise for now and for later (Reservation.Way); '' not offered.

    A later one of `network` is kept by us and asked for half an hour before.
    """

    hold: str
    book: str
    can_start: bool
    can_stop: bool
    can_unlock: bool = False
    can_limit: bool = False
    can_look: bool = False
    can_prefer: bool = False
    held: list[Held] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def now(self) -> Held | None:
        """The promise that is in force."""
        return next((row for row in self.held if not row.is_later), None)

    @property
    def of_session(self) -> "Offer":
        """What can be asked of whoever charges there, without places for others."""
        notes = [note for note in self.notes if note.kind in OF_SESSION]
        return replace(self, hold="", book="", can_start=False, held=[], notes=notes)


class Offers:
    """The plugs of one site in three queries, however many they are."""

    def __init__(self, source: Source, plugs: Collection[Connector], organisation: Organisation, now: datetime) -> None:
        self.source, self.organisation, self.now = source, organisation, now
        self.can_start = registry.starter_for(source) is not None
        self.may_charge = {row.pk for row in Connector.objects.usable_by(organisation).filter(pk__in=_ids(plugs))}
        self.held: defaultdict[int, list[Held]] = defaultdict(list)
        self.notes: defaultdict[int, list[Note]] = defaultdict(list)
        self._read_promises(plugs, organisation)
        self._read_commands(plugs, organisation)

    def at(
        self, plug: Connector, *, is_free: bool, session: ChargingSession | None = None, may_hang: bool = False
    ) -> Offer:
        """`is_free` as far as it is believed; `session`: of a vehicle of ours that charges; `may_hang`: or just did.

        What is asked of a session is asked of the network that tells of it, which need not be the site's, and also
        where the fleet may no longer begin one.
        """
        held, notes = self.held[plug.pk], self.notes[plug.pk]
        running = _of_session(plug, session, {note.kind for note in notes if note.is_pending}) if session else {}
        if plug.pk not in self.may_charge:
            return Offer("", "", can_start=False, **{"can_stop": False, **running}, held=held, notes=notes)
        hold, book = asking.ways(self.source, plug.evse)
        is_ours_now = any(not row.is_later for row in held)
        pending = {note.kind for note in notes if note.is_pending}
        may_unlock = (may_hang or wishing.is_own(plug, self.organisation.pk)) and "unlock" not in pending
        is_busy = session is not None or "start" in pending
        may_start = is_free or is_ours_now or plug.status == Connector.Status.OCCUPIED
        return Offer(
            hold=hold if is_free and not is_ours_now else "", book=book if book == Way.BOOKING else hold,
            held=held, notes=notes,
            can_start=self.can_start and plug.evse.takes_starts and may_start and not is_busy,
            can_unlock=may_unlock and registry.unlocker_for(plug.evse) is not None,
            **{"can_stop": False, **running},
        )  # fmt: skip

    def _read_promises(self, plugs: Collection[Connector], organisation: Organisation) -> None:
        mine = Reservation.objects.for_organisation(organisation).filter(connector_id__in=_ids(plugs))
        in_force = Q(state__in=Reservation.ACTIVE_STATES, expires_at__gt=self.now)
        refused = Q(state__in=(State.REJECTED, State.FAILED), answered_at__gt=self.now - TOLD_FOR)
        for row in mine.filter(in_force | refused).select_related("vehicle").order_by("starts_at", "pk"):
            if row.state in Reservation.ACTIVE_STATES:
                self.held[row.connector_id].append(_held(row, self.now))
            else:
                self._note(row.connector_id, "reserve", row.state, row.vehicle.registration, row.reason)

    def _read_commands(self, plugs: Collection[Connector], organisation: Organisation) -> None:
        """The newest of each plug."""
        mine = SessionCommand.objects.for_organisation(organisation).filter(connector_id__in=_ids(plugs))
        recent = mine.filter(created_at__gt=self.now - TOLD_FOR).order_by("connector_id", "-pk").distinct("connector")
        for row in recent.select_related("vehicle"):
            plate = row.vehicle.registration if row.vehicle else ""
            if row.kind == SessionCommand.Kind.OUTLOOK and row.state == Commands.DONE:
                said = outlooks.in_words(row.result, row.answered_at or row.created_at)
                self._note(row.connector_id, row.kind, row.state, plate, said)
            elif row.state != Commands.DONE:
                self._note(row.connector_id, row.kind, row.state, plate, row.reason)

    def _note(self, connector_id: int, kind: str, state: str, plate: str, reason: str) -> None:
        pending = (Commands.REQUESTED, Commands.SENT, Commands.ACCEPTED)
        said = WORDS.get(reason, reason)
        self.notes[connector_id].append(Note(kind, state, plate, said, is_pending=state in pending))


def _of_session(plug: Connector, session: ChargingSession, pending: set[str]) -> dict[str, bool]:
    """What the services would take of this session just now."""
    can_wish = not pending & wishing.WISHES.keys()
    can_limit = can_wish and registry.limiter_for(plug.evse, session.source) is not None
    return {
        "can_stop": "stop" not in pending and registry.stopper_for(session.source) is not None,
        "can_limit": can_limit,
        "can_look": can_limit,
        "can_prefer": can_wish and registry.preferences_for(plug.evse, session.source) is not None,
    }


def _held(row: Reservation, now: datetime) -> Held:
    return Held(
        number=row.pk, plate=row.vehicle.registration, vehicle_id=row.vehicle_id, starts_at=row.starts_at,
        expires_at=row.expires_at, way=row.way or Way.NETWORK,
        is_pending=row.state == State.REQUESTED or row.agreed_until is not None, is_later=row.starts_at > now,
    )  # fmt: skip


def _ids(plugs: Collection[Connector]) -> list[int]:
    return [plug.pk for plug in plugs]
