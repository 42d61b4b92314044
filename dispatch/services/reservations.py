"""Promises of plugs: made in our database, asked of the network outside any transaction, settled by its answer."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from billing.services.authorisation import group_of
from dispatch.events import PlanChanged, ReservationChanged
from dispatch.models import ChargePlan, Reservation
from dispatch.services import stories
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived
from stations.cpo import registry
from stations.cpo.base import Capability, CommandReceipt, CPOError, CPOUnavailable, ReserveRequest
from stations.models import Connector
from stations.services import set_hold
from vehicles.models import IdToken, Vehicle

logger = logging.getLogger(__name__)
State = Reservation.State
ARRIVAL_GRACE = timedelta(minutes=15)
CLOCKS_DIFFER = timedelta(seconds=60)
LET_GO = Reservation.LET_GO
HELD_BY_US = "held in FleetCharge only"
"""Reason of a promise at a network that cannot reserve: our own vehicles still never collide."""


def promise(plan: ChargePlan, *, actor: User | None, now: datetime) -> Reservation:
    """A row that keeps every other vehicle of ours away (by constraint). Inside the caller's transaction."""
    assert plan.connector_id is not None  # noqa: S101 (checked by the caller)
    arrival = plan.plug_in_at or now
    expires_at = max(arrival + ARRIVAL_GRACE, now + timedelta(minutes=settings.RESERVATION_MINUTES))
    return _create(plan.vehicle, plan.connector_id, plan, actor, now, expires_at)


def create_reservation(
    *,
    vehicle_id: int,
    connector_id: int,
    expires_at: datetime,
    actor: User | None,
    actor_label: str = "",
    now: datetime,
) -> Reservation | None:
    """A dispatcher reserves by hand; None when the plug is promised to another. The network is asked after the commit.

    Asking again for the same vehicle (a retry after a lost answer) returns the promise there is.
    """
    vehicle = Vehicle.objects.get(pk=vehicle_id)
    try:
        with transaction.atomic():
            reservation = _create(vehicle, connector_id, None, actor, now, expires_at)
            audit(
                action="reservation.create", target=reservation, actor=actor, actor_label=actor_label,
                after={"connector_id": connector_id},
            )  # fmt: skip
    except IntegrityError:
        return Reservation.objects.active().filter(vehicle=vehicle, connector_id=connector_id).first()
    return reservation


def _create(
    vehicle: Vehicle,
    connector_id: int,
    plan: ChargePlan | None,
    actor: User | None,
    now: datetime,
    expires_at: datetime,
) -> Reservation:
    reservation = Reservation.objects.create(
        organisation_id=vehicle.organisation_id, vehicle=vehicle, connector_id=connector_id, plan=plan,
        id_token=token_of(vehicle, now), created_by=actor, created_at=now, expires_at=expires_at,
    )  # fmt: skip
    _tell(reservation, State.REQUESTED, "", now)
    return reservation


def token_of(vehicle: Vehicle, now: datetime) -> str:
    """The token that will start the session: the vehicle's own, else its driver's; '' when neither has one."""
    tokens = IdToken.objects.filter(organisation_id=vehicle.organisation_id, is_active=True)
    tokens = tokens.filter(Q(valid_until=None) | Q(valid_until__gt=now))
    mine = tokens.filter(vehicle=vehicle).order_by("pk").first()
    driver_id = vehicle.default_driver_id
    mine = mine or (tokens.filter(driver_id=driver_id).order_by("pk").first() if driver_id else None)
    return mine.uid if mine else ""


def reserve_plan(plan_id: int, now: datetime) -> bool:
    """Ask the network for the plan's plug; False when there is nothing to ask (sent, cancelled, still busy)."""
    number = Reservation.objects.filter(plan_id=plan_id, state=State.REQUESTED).values_list("number", flat=True).first()
    return number is not None and send_reservation(number, now)


def send_reservation(number: int, now: datetime) -> bool:
    """Claim one unsent reservation and ask its network. The call happens outside any transaction."""
    reservation = Reservation.objects.select_related("connector__evse__location__source").get(pk=number)
    if reservation.connector.status not in (Connector.Status.AVAILABLE, Connector.Status.RESERVED):
        return False  # someone still charges there; asked again when the plug comes free
    if not Reservation.objects.filter(pk=number, state=State.REQUESTED, sent_at=None).update(sent_at=now):
        return False
    receipt = _ask(reservation)
    if receipt is None:
        Reservation.objects.filter(pk=number, state=State.REQUESTED).update(sent_at=None)  # the sweep tries again
        return False
    if receipt.state != "pending":
        answer_reservation(reservation_key=str(reservation.key), state=receipt.state, reason=receipt.reason, at=now)
    return True


def waiting_reservations(connector_id: int) -> list[int]:
    """Promises of this plug that the network has not been asked for yet."""
    waiting = Reservation.objects.filter(connector_id=connector_id, state=State.REQUESTED, sent_at=None)
    return list(waiting.values_list("number", flat=True))


def _ask(reservation: Reservation, occasion: str = "") -> CommandReceipt | None:
    """None when the network cannot be reached just now."""
    source, evse = reservation.connector.evse.location.source, reservation.connector.evse
    if not (registry.can(source, Capability.RESERVE) and evse.is_reservable and reservation.id_token):
        return CommandReceipt("accepted", HELD_BY_US)
    request = ReserveRequest(
        connector=reservation.connector, reservation_key=str(reservation.key), reservation_number=reservation.number,
        id_token=reservation.id_token, expires_at=reservation.expires_at, group_id=group_of(reservation.vehicle_id),
        occasion=occasion,
    )  # fmt: skip
    try:
        return registry.adapter_for(source).reserve(request)
    except CPOUnavailable:
        return None
    except CPOError as error:
        return CommandReceipt("failed", str(error))


def send_again(*, charger_id: int, booted_at: datetime, now: datetime) -> int:
    """A charger that restarted may have forgotten what it promised: it is told once more; how many it was told.

    Its answer counts like the first one, but silence does not: we keep the promise ourselves (services.enforcement).
    """
    told = 0
    kept = promised_before(booted_at).filter(expires_at__gt=now, connector__evse__charger_id=charger_id)
    for reservation in kept.select_related("connector__evse__location__source").order_by("pk"):
        with survived("reservation", reservation.pk):
            receipt = _ask(reservation, f"{booted_at:%Y%m%d%H%M%S}")
            if receipt is not None and receipt.state == "pending":
                Reservation.objects.filter(pk=reservation.pk).update(reminded_at=now)
                told += 1
    return told


def has_promises(charger_id: int, booted_at: datetime) -> bool:
    """Did this charger promise anything before it restarted that it was not told again since?"""
    kept = promised_before(booted_at).filter(expires_at__gt=booted_at, connector__evse__charger_id=charger_id)
    return kept.exists()


def promised_before(booted_at: datetime | F) -> QuerySet[Reservation]:
    """Promises that chargers made before they restarted, and were not told of again since."""
    made = Reservation.objects.filter(state=State.CONFIRMED, sent_at__lt=booted_at).exclude(reason=HELD_BY_US)
    return made.filter(Q(reminded_at=None) | Q(reminded_at__lt=booted_at))


def answer_reservation(*, reservation_key: str, state: str, reason: str, at: datetime) -> bool:
    """The network's word: accepted, rejected, failed, timed_out, cancelled or expired. False: it changes nothing."""
    if state == "accepted":
        return _confirm(reservation_key, reason, at)
    if state == "expired":
        return _expired_there(reservation_key, at)
    return _lose(reservation_key, state, reason, at)


def _expired_there(reservation_key: str, at: datetime) -> bool:
    """Our clock decides when a promise is over: a charger that is ahead of it is told again."""
    known = Reservation.objects.filter(key=reservation_key, state=State.CONFIRMED, expires_at__gt=at + CLOCKS_DIFFER)
    reservation = known.select_related("connector__evse__location__source").first()
    return reservation is not None and _ask(reservation, f"{at:%Y%m%d%H%M%S}") is not None


def _confirm(reservation_key: str, reason: str, at: datetime) -> bool:
    with transaction.atomic():
        reservation = locked(reservation_key)
        if reservation is None or reservation.state != State.REQUESTED:
            if reservation is not None and reservation.state in LET_GO:
                Reservation.objects.filter(pk=reservation.pk).update(given_back_at=None, answered_at=at)
                _tell(reservation, reservation.state, "answered too late", at)  # so that the network is told again
            return False
        _settle(reservation, State.CONFIRMED, reason, at)
        plan = reservation.plan
        if plan is not None and plan.state == ChargePlan.State.ACCEPTED:
            plan.state = ChargePlan.State.RESERVED
            plan.save(update_fields=["state"])
            publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, plan.state, at))
        set_hold(connector_id=reservation.connector_id, is_held=True, at=at)
        if plan is not None:
            stories.tell(plan, now=at)
    return True


def _lose(reservation_key: str, state: str, reason: str, at: datetime) -> bool:
    """Refused or taken back by the network: the plan looks for another plug."""
    from dispatch.services import following  # it replans, and planning accepts, and accepting promises

    lost = {"rejected": State.REJECTED, "cancelled": State.CANCELLED}.get(state, State.FAILED)
    with transaction.atomic():
        reservation = locked(reservation_key)
        if reservation is None or reservation.state not in Reservation.ACTIVE_STATES:
            return False
        if reservation.state == State.CONFIRMED and not _is_loss(reservation, lost, reason):
            return False
        settle(reservation, lost, reason or state, at)
    if reservation.plan_id is not None:
        trigger = "cancelled" if lost == State.CANCELLED else "rejected"
        following.replan(plan_id=reservation.plan_id, reason=trigger, now=at)
    return True


def _is_loss(reservation: Reservation, state: str, reason: str) -> bool:
    """A charger that was told again and says nothing, or that our own vehicle already stands at it, breaks nothing."""
    from dispatch.services import following  # it replans, and that comes back here

    if state == State.FAILED:
        return False
    is_occupied = state == State.REJECTED and reason.startswith("Occupied")
    return not (is_occupied and following.is_at(reservation.vehicle_id, reservation.connector_id))


def release(plan: ChargePlan, *, state: str, reason: str, now: datetime) -> bool:
    """Give the plan's promise back, if one is active. Inside the caller's transaction, with the plan locked."""
    reservation = Reservation.objects.select_for_update().active().filter(plan=plan).first()
    if reservation is None:
        return False
    _settle(reservation, state, reason, now)
    set_hold(connector_id=reservation.connector_id, is_held=False, at=now)
    return True


def use(reservation: Reservation, now: datetime) -> None:
    """The vehicle has come. With the reservation locked."""
    settle(reservation, State.USED, "", now)


def settle(reservation: Reservation, state: str, reason: str, now: datetime) -> None:
    """End a promise and let the connector go. With the reservation locked."""
    _settle(reservation, state, reason, now)
    set_hold(connector_id=reservation.connector_id, is_held=False, at=now)


@transaction.atomic
def cancel_reservation(
    *, number: int, actor: User | None, actor_label: str = "", reason: str = "", now: datetime
) -> bool:
    """A dispatcher takes a promise back; the plan behind it is dismissed with it. False when it was not active."""
    plan_id = Reservation.objects.values_list("plan_id", flat=True).get(pk=number)
    if plan_id is not None:
        from dispatch.services import decisions

        if ChargePlan.objects.filter(pk=plan_id, state__in=("proposed", "accepted", "reserved")).exists():
            decisions.dismiss_plan(plan_id=plan_id, actor=actor, actor_label=actor_label, reason=reason, now=now)
            return True
    reservation = Reservation.objects.select_for_update().get(pk=number)
    if reservation.state not in Reservation.ACTIVE_STATES:
        return False
    _settle(reservation, State.CANCELLED, reason or "cancelled", now)
    set_hold(connector_id=reservation.connector_id, is_held=False, at=now)
    audit(action="reservation.cancel", target=reservation, actor=actor, actor_label=actor_label, reason=reason)
    return True


def cancel_at_network(number: int, now: datetime) -> bool:
    """Tell the network that we let go, once; True when it was asked. Raises CPOUnavailable: then it is tried again."""
    reservation = Reservation.objects.select_related("connector__evse__location__source").get(pk=number)
    is_due = reservation.state in LET_GO and reservation.sent_at is not None and reservation.given_back_at is None
    if not is_due:
        return False
    source = reservation.connector.evse.location.source
    can_hear = registry.can(source, Capability.RESERVE) and reservation.id_token != ""
    try:
        if can_hear:
            registry.adapter_for(source).cancel(reservation.connector, str(reservation.key), reservation.number)
    except CPOUnavailable:
        raise
    except CPOError as error:  # it has spoken; asking again would bring the same
        logger.warning("%s does not take back reservation %s: %s", source, number, error)
    unchanged = Reservation.objects.filter(pk=number, answered_at=reservation.answered_at)
    unchanged.update(given_back_at=now)  # what it granted meanwhile is given back by another call
    return can_hear


def expire_reservations(*, now: datetime) -> int:
    """End promises whose time is over, with the plans that waited for them."""
    expired = 0
    for key in Reservation.objects.active().filter(expires_at__lte=now).values_list("key", flat=True):
        with transaction.atomic():
            reservation = locked(str(key))
            if reservation is None or reservation.state not in Reservation.ACTIVE_STATES:
                continue
            _settle(reservation, State.EXPIRED, "nobody came", now)
            plan = reservation.plan
            if plan is not None and plan.state in (ChargePlan.State.ACCEPTED, ChargePlan.State.RESERVED):
                plan.state, plan.closed_at = ChargePlan.State.EXPIRED, now
                plan.save(update_fields=["state", "closed_at"])
                publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, plan.state, now))
            set_hold(connector_id=reservation.connector_id, is_held=False, at=now)
            if plan is not None:
                stories.tell(plan, now=now)
            expired += 1
    return expired


def locked(reservation_key: str) -> Reservation | None:
    """The reservation with its plan, locked plan first (the order everybody keeps)."""
    plan_id = Reservation.objects.filter(key=reservation_key).values_list("plan_id", flat=True).first()
    plans = ChargePlan.objects.select_for_update(of=("self",)).select_related(
        "vehicle", "connector__evse__location", "replaces"
    )
    plan = plans.filter(pk=plan_id).first() if plan_id else None
    held = Reservation.objects.select_for_update(of=("self",)).select_related("vehicle")
    reservation = held.filter(key=reservation_key).first()
    if reservation is not None and plan is not None:
        reservation.plan = plan
    return reservation


def _settle(reservation: Reservation, state: str, reason: str, at: datetime) -> None:
    reservation.state, reservation.reason, reservation.answered_at = state, reason[:120], at
    reservation.save(update_fields=["state", "reason", "answered_at"])
    _tell(reservation, state, reason, at)


def _tell(reservation: Reservation, state: str, reason: str, at: datetime) -> None:
    row = reservation
    publish(ReservationChanged(row.number, row.organisation_id, row.connector_id, row.vehicle_id, state, reason, at))
