"""Our own OCPP chargers as one more network: reservations go out as commands, answers come back as events."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billing.models import ChargingSession
from ocpp_bridge import commands
from ocpp_bridge.charging import single, sites
from ocpp_bridge.instants import to_wire
from ocpp_bridge.models import ChargingSite, Command
from stations.cpo.base import (
    PENDING,
    Capability,
    CommandReceipt,
    CPOError,
    LimitRequest,
    OutlookRequest,
    PreferRequest,
    PullReport,
    ReserveRequest,
    StartRequest,
    StopRequest,
    UnlockRequest,
)
from stations.models import EVSE, Charger, Connector, Source

ANSWER_WITHIN = timedelta(seconds=60)
CANCEL_WITHIN = timedelta(minutes=30)
START_WITHIN = timedelta(seconds=45)


class OwnChargersAdapter:
    """Nothing to poll: our chargers speak by themselves."""

    kind = Source.Kind.OWN_OCPP.value
    capabilities = frozenset(
        {
            Capability.RESERVE, Capability.START_STOP, Capability.PUSH, Capability.UNLOCK, Capability.LIMIT,
            Capability.PREFER,
        }
    )  # fmt: skip

    def poll(self, source: Source) -> Iterator[PullReport]:
        return iter(())

    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        """Queue ReserveNow; rejected at once when the charger has no socket."""
        parameters = {
            "evse_number": _evse_number(request.connector),
            "id_token": request.id_token,
            "token_type": request.token_type,
            "reservation_number": request.reservation_number,
            "expires_at": to_wire(request.expires_at),
            "group_id": request.group_id,
        }
        now = timezone.now()
        deadline_at = min(now + ANSWER_WITHIN, request.expires_at)
        name = f"{request.reservation_key}:{request.occasion}".rstrip(":")
        return _ask(
            request.connector, Command.Action.RESERVE_NOW, name, parameters, deadline_at, request.reservation_key
        )

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        """Queue CancelReservation; an offline charger forgets by its own clock, so it is no reason to wait long.

        While one is on its way, asking again is that one; once it is answered, the charger is told anew.
        """
        action = Command.Action.CANCEL_RESERVATION
        told = Command.objects.filter(action=action, reservation_key=reservation_key)
        attempt = told.exclude(state__in=Command.OPEN_STATES).count()
        parameters = {"reservation_number": reservation_number}
        deadline_at = timezone.now() + CANCEL_WITHIN
        name = f"{reservation_key}:{attempt}" if attempt else reservation_key
        return _ask(connector, action, name, parameters, deadline_at, reservation_key)

    def start(self, request: StartRequest) -> CommandReceipt:
        """Queue a remote start; rejected at once when the charger has no socket. The session is told by itself."""
        if not _charger_of(request.connector).is_online:
            return CommandReceipt("rejected", "The charger is offline.")
        parameters = {"evse_number": _evse_number(request.connector), "id_token": request.id_token}
        deadline_at = timezone.now() + START_WITHIN
        return _ask(
            request.connector,
            Command.Action.REMOTE_START,
            request.start_key,
            parameters,
            deadline_at,
            request.start_key,
        )

    def stop(self, request: StopRequest) -> CommandReceipt:
        """Queue the end of a session; whether it ended is told by the session itself."""
        parameters = {"transaction_ref": request.transaction_ref}
        deadline_at = timezone.now() + ANSWER_WITHIN
        return _ask(
            request.connector, Command.Action.REMOTE_STOP, request.stop_key, parameters, deadline_at,
            request.stop_key[:36],
        )  # fmt: skip

    def can_unlock(self, evse: EVSE) -> bool:
        return evse.charger_id is not None

    def unlock(self, request: UnlockRequest) -> CommandReceipt:
        """Queue UnlockConnector; rejected at once when the charger has no socket. A person waits beside it."""
        connector = request.connector
        if not _charger_of(connector).is_online:
            return CommandReceipt("rejected", "The charger is offline.")
        parameters = {"evse_number": _evse_number(connector), "connector_id": connector.connector_id}
        deadline_at = timezone.now() + START_WITHIN
        key = request.unlock_key
        return _ask(connector, Command.Action.UNLOCK_CONNECTOR, key, parameters, deadline_at, key)

    def can_limit(self, evse: EVSE, source: Source) -> bool:
        """Where no site shares its power; there, what a session is to have is a preference."""
        return single.is_limitable(evse)

    def limit(self, request: LimitRequest) -> CommandReceipt:
        """A TxProfile, or none any more; rejected at once when the charger has no socket."""
        evse, charger = request.connector.evse, _charger_of(request.connector)
        if not charger.is_online:
            return CommandReceipt("rejected", "The charger is offline.")
        profile = single.limit_of(evse, charger, request.max_power_w or 0, timezone.now())
        if request.max_power_w is None:
            action, parameters = Command.Action.CLEAR_CHARGING_PROFILE, {"profile_id": profile["profile_id"]}
        else:
            action = Command.Action.SET_CHARGING_PROFILE
            parameters = {
                "evse_number": evse.evse_number, "transaction_ref": request.transaction_ref,
                "charging_profile": profile,
            }  # fmt: skip
        return _of_session(request.connector, action, request.limit_key, parameters)

    def outlook(self, request: OutlookRequest) -> CommandReceipt:
        """GetCompositeSchedule: what the charger itself says; it comes with the result."""
        evse, charger = request.connector.evse, _charger_of(request.connector)
        if not charger.is_online:
            return CommandReceipt("rejected", "The charger is offline.")
        parameters = {
            "evse_number": evse.evse_number, "duration_seconds": request.seconds, "unit": single.unit_of(evse, charger),
        }  # fmt: skip
        return _of_session(request.connector, Command.Action.GET_COMPOSITE_SCHEDULE, request.outlook_key, parameters)

    def can_prefer(self, evse: EVSE, source: Source) -> bool:
        """Where its site shares a limit: who wants what is weighed there, and nowhere else."""
        return evse.charger_id is not None and ChargingSite.objects.filter(pk=evse.location_id, is_active=True).exists()

    def prefer(self, request: PreferRequest) -> CommandReceipt:
        """A goal of the session, by which its site is planned anew; REGULAR with nothing besides takes it back.

        Answered in OCPI's words (2.2.1 sessions, ChargingPreferencesResponse), as other networks do.
        """
        now, evse = timezone.now(), request.connector.evse
        mine = ChargingSession.objects.active().filter(connector__evse=evse, charger=evse.charger_id)
        session = mine.filter(transaction_ref=request.transaction_ref).first()
        if session is None:
            return CommandReceipt("rejected", "UNKNOWN_SESSION")
        if problem := _why_not(request, now):
            return CommandReceipt("rejected", problem)
        if request.departure_at is None and request.energy_wh is None:
            sites.drop_goal(session=session, now=now)
        else:
            sites.change_goal(
                session=session, departure_at=request.departure_at, energy_wh=request.energy_wh, actor="dispatch",
                now=now,
            )  # fmt: skip
        return CommandReceipt("accepted")


def _of_session(connector: Connector, action: str, key: str, parameters: dict[str, Any]) -> CommandReceipt:
    return _ask(connector, action, key, parameters, timezone.now() + START_WITHIN, key)


def _why_not(request: PreferRequest, now: datetime) -> str:
    """Sites weigh energy and departures, not prices; "" when the goal can be kept."""
    if request.style not in ("REGULAR", "FAST"):
        return "PROFILE_TYPE_NOT_SUPPORTED"
    if request.style == "FAST" and request.departure_at is None:
        return "DEPARTURE_REQUIRED"
    return "NOT_POSSIBLE" if request.departure_at is not None and request.departure_at <= now else ""


def _ask(
    connector: Connector,
    action: str,
    name: str,
    parameters: dict[str, Any],
    deadline_at: datetime,
    reservation_key: str = "",
) -> CommandReceipt:
    """`name` and action make the idempotency key. CPOError: something else was asked under it."""
    charger = _charger_of(connector)
    if action == Command.Action.RESERVE_NOW and not charger.is_online:
        return CommandReceipt("rejected", "The charger is offline.")
    try:
        command = commands.enqueue(
            charger_id=charger.pk,
            action=action,
            parameters=parameters,
            idempotency_key=f"{action}:{name}",
            deadline_at=deadline_at,
            actor="dispatch",
            reservation_key=reservation_key,
        )
    except (commands.KeyReused, commands.BadParameters) as error:
        code = "key_reused" if isinstance(error, commands.KeyReused) else "bad_parameters"
        raise CPOError(code, f"This cannot be asked of {charger.ocpp_identity}: {error}") from None
    return CommandReceipt(PENDING.state, PENDING.reason, str(command.pk))


def _charger_of(connector: Connector) -> Charger:
    charger = Charger.objects.filter(evses__connectors=connector).first()
    if charger is None:
        raise CPOError("no_charger", "This connector is not on a charger of ours.")
    return charger


def _evse_number(connector: Connector) -> int:
    return connector.evse.evse_number
