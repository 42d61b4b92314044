"""Promises of plugs: made in our database, asked of the network outside any transaction, settled by its answer."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from dispatch.core import windows
from dispatch.events import PlanChanged, ReservationChanged
from dispatch.models import ChargePlan, Reservation
from dispatch.services import asking, elsewhere, extending, stories
from dispatch.services.asking import RELATED
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish
from fleetcharge.lib.rows import update_each
from fleetcharge.lib.sweeps import survived
from stations.cpo.base import CPOError, CPOUnavailable
from stations.models import Connector
from stations.services import set_holds
from vehicles.models import IdToken, Vehicle

logger = logging.getLogger(__name__)
State, Way = Reservation.State, Reservation.Way
ARRIVAL_GRACE = timedelta(minutes=15)
CLOCKS_DIFFER = timedelta(seconds=60)
LET_GO = Reservation.LET_GO
NO_SHOW = "NO_SHOW"
BEGINS_WITHIN = timedelta(seconds=30)
RETRIED_WITHIN = timedelta(minutes=2)
"""A wish that is sent again after a lost answer, and counts from now, ends later by no more than this."""


def promise(plan: ChargePlan, *, actor: User | None, now: datetime) -> Reservation:
    """A row that keeps every other vehicle of ours away (by constraint). Inside the caller's transaction."""
    assert plan.connector_id is not None  # noqa: S101 (checked by the caller)
    starts_at, expires_at = hold_of(plan, now)
    stay = {"starts_at": starts_at, "stay_ends_at": plan.window_ends_at}
    return _create(plan.vehicle, plan.connector_id, plan, actor, now, expires_at, **stay)


def promise_each(plans: Sequence[ChargePlan], *, now: datetime) -> list[ReservationChanged]:
    """The same of many of one fleet, by nobody in particular; what the caller has to publish."""
    vehicles = Vehicle.objects.filter(pk__in=[plan.vehicle_id for plan in plans])
    tokens = tokens_of(list(vehicles.only("organisation", "default_driver")), now)
    rows = [_of_plan(plan, tokens[plan.vehicle_id], now) for plan in plans]
    return [_fact_of(row, State.REQUESTED, "", now) for row in Reservation.objects.bulk_create(rows)]


def _of_plan(plan: ChargePlan, token_uid: str, now: datetime) -> Reservation:
    assert plan.connector_id is not None  # noqa: S101 (checked by the caller)
    starts_at, expires_at = hold_of(plan, now)
    return Reservation(
        organisation_id=plan.organisation_id, vehicle_id=plan.vehicle_id, connector_id=plan.connector_id, plan=plan,
        id_token=token_uid, created_at=now, starts_at=starts_at, expires_at=expires_at,
        stay_ends_at=plan.window_ends_at,
    )  # fmt: skip


def hold_of(plan: ChargePlan, now: datetime) -> tuple[datetime, datetime]:
    """From when on its place is promised, and by when it must have come."""
    arrival, starts_at = plan.plug_in_at or now, max(plan.window_starts_at or now, now)
    late = timedelta(seconds=windows.lateness((arrival - plan.created_at).total_seconds()))
    expires_at = max(arrival + late, starts_at + timedelta(minutes=settings.RESERVATION_MINUTES))
    ends_at = plan.window_ends_at
    return starts_at, min(expires_at, ends_at) if ends_at and ends_at > starts_at else expires_at


@again_after_deadlock  # it may hold one plug and ask for another
def create_reservation(
    *,
    vehicle_id: int,
    connector_id: int,
    expires_at: datetime,
    actor: User | None,
    actor_label: str = "",
    now: datetime,
    starts_at: datetime | None = None,
    is_rebooked: bool = True,
    replaces: Reservation | None = None,
    replaces_others: bool = False,
) -> Reservation | None:
    """A dispatcher reserves by hand, from now or from `starts_at` on; None when the place is promised to another then.

    The network is asked after the commit. Asking again for the same vehicle and time (a retry after a lost answer)
    returns the promise there is, also for the rest of a charge that a plan was promised; one that ends before is made
    to last as long. ValueError: it would end before it begins, or is over. VehicleIsElsewhere: it has another place
    then, which `replaces_others` gives up if this one is to be had.
    """
    starts_at = max(starts_at or now, now)
    if expires_at <= starts_at:
        raise ValueError("A reservation ends after it begins.")
    vehicle = Vehicle.objects.get(pk=vehicle_id)
    others = elsewhere.others(vehicle_id, connector_id, starts_at, expires_at)
    try:
        with transaction.atomic():
            if replaces_others:
                elsewhere.give_up(others, actor=actor, actor_label=actor_label, now=now)
            reservation = _create(
                vehicle, connector_id, None, actor, now, expires_at, starts_at=starts_at, is_rebooked=is_rebooked,
                replaces=replaces,
            )  # fmt: skip
            audit(
                action="reservation.create", target=reservation, actor=actor, actor_label=actor_label,
                after={"connector_id": connector_id},
            )  # fmt: skip
    except IntegrityError as error:
        own = _own_at(vehicle_id, connector_id, starts_at, expires_at)
        if own is None and elsewhere.is_about_vehicle(error):
            raise elsewhere.refusal(others) from None
        if own is None or replaces is not None or own.ends_at >= expires_at - RETRIED_WITHIN:
            return own
        given_up = others if replaces_others else others.none()
        return _lasting(own, expires_at, given_up, actor=actor, actor_label=actor_label, now=now)
    return reservation


def _own_at(vehicle_id: int, connector_id: int, starts_at: datetime, expires_at: datetime) -> Reservation | None:
    """What the vehicle is promised there already, or is to charge there, between these times."""
    own = Reservation.objects.active().filter(vehicle_id=vehicle_id, connector_id=connector_id)
    lasts = Q(expires_at__gt=starts_at) | Q(stay_ends_at__gt=starts_at)
    return own.filter(lasts, starts_at__lt=expires_at).first()


def _lasting(
    own: Reservation, expires_at: datetime, given_up: QuerySet[Reservation], *, actor: User | None, actor_label: str,
    now: datetime,
) -> Reservation | None:  # fmt: skip
    """The promise there is, made to last until then; what its vehicle holds elsewhere is `given_up` for that.

    None: the place is another's before then.
    """
    by: dict[str, Any] = {"actor": actor, "actor_label": actor_label, "now": now}
    try:
        with transaction.atomic():
            elsewhere.give_up(given_up, **by)
            longer = extending.extend_reservation(number=own.pk, expires_at=expires_at, **by)
            if longer is None:
                transaction.set_rollback(True)
    except ValueError:  # it is over, or somebody else has made it last as long
        return Reservation.objects.active().filter(pk=own.pk, expires_at__gte=expires_at).first()
    return longer


def _create(
    vehicle: Vehicle,
    connector_id: int,
    plan: ChargePlan | None,
    actor: User | None,
    now: datetime,
    expires_at: datetime,
    **facts: Any,
) -> Reservation:
    reservation = Reservation.objects.create(
        organisation_id=vehicle.organisation_id, vehicle=vehicle, connector_id=connector_id, plan=plan,
        id_token=token_of(vehicle, now), created_by=actor, created_at=now, expires_at=expires_at,
        **{"starts_at": now, **facts},
    )  # fmt: skip
    _tell(reservation, State.REQUESTED, "", now)
    return reservation


def token_of(vehicle: Vehicle, now: datetime) -> str:
    """The token that will start the session: the vehicle's own, else its driver's; '' when neither has one."""
    return tokens_of([vehicle], now)[vehicle.pk]


def tokens_of(vehicles: Sequence[Vehicle], now: datetime) -> dict[int, str]:
    """The same of many vehicles of one fleet, by vehicle."""
    drivers = {vehicle.default_driver_id for vehicle in vehicles} - {None}
    tokens = IdToken.objects.filter(organisation_id__in={one.organisation_id for one in vehicles}, is_active=True)
    tokens = tokens.filter(Q(valid_until=None) | Q(valid_until__gt=now))
    theirs = tokens.filter(Q(vehicle__in=[one.pk for one in vehicles]) | Q(driver__in=drivers)).order_by("-pk")
    rows = list(theirs.values_list("vehicle_id", "driver_id", "uid"))
    own = {vehicle_id: uid for vehicle_id, _, uid in rows if vehicle_id}  # the first of several stands last
    of_driver = {driver_id: uid for _, driver_id, uid in rows if driver_id}
    return {one.pk: own.get(one.pk) or of_driver.get(one.default_driver_id or 0, "") for one in vehicles}


def send_reservation(number: int, now: datetime) -> bool:
    """Claim one unsent reservation and ask its network. The call happens outside any transaction."""
    reservation = Reservation.objects.select_related(RELATED).get(pk=number)
    way = asking.way_of(reservation, now)
    if not asking.can_ask_now(reservation, way):
        return False  # someone still charges there; asked again when the plug comes free
    if not Reservation.objects.filter(pk=number, state=State.REQUESTED, sent_at=None).update(sent_at=now, way=way):
        return False
    receipt = asking.ask(reservation, way)
    if receipt is None:
        Reservation.objects.filter(pk=number, state=State.REQUESTED).update(sent_at=None)  # the sweep tries again
        return False
    if receipt.state != "pending":
        answer_reservation(reservation_key=str(reservation.key), state=receipt.state, reason=receipt.reason, at=now)
    return True


def ask_when_due(number: int, now: datetime) -> bool:
    """A promise for later that only we knew of comes near: its network is asked now. Refused, it is lost like any."""
    reservation = Reservation.objects.select_related(RELATED).get(pk=number)
    way = asking.way_of(reservation, now)
    if way == Way.SOFT or not asking.can_ask_now(reservation, way):
        return False
    held = Reservation.objects.filter(pk=number, state=State.CONFIRMED, way=Way.SOFT)
    if not held.update(way=way, sent_at=now):
        return False
    receipt = asking.ask(reservation, way)
    if receipt is None:
        Reservation.objects.filter(pk=number, state=State.CONFIRMED).update(way=Way.SOFT)
    elif receipt.state not in ("pending", "accepted"):
        answer_reservation(reservation_key=str(reservation.key), state=receipt.state, reason=receipt.reason, at=now)
    return receipt is not None


def held_until_near(now: datetime) -> QuerySet[Reservation]:
    """Promises for later of ours alone, near enough that their networks may be asked."""
    held = Reservation.objects.filter(state=State.CONFIRMED, way=Way.SOFT, expires_at__gt=now)
    return held.filter(starts_at__gt=F("created_at") + asking.SOON, starts_at__lte=now + asking.lead())


def waiting_reservations(connector_ids: Collection[int]) -> list[int]:
    """Promises of these plugs that the network has not been asked for yet."""
    if not connector_ids:
        return []
    waiting = Reservation.objects.filter(connector_id__in=connector_ids, state=State.REQUESTED, sent_at=None)
    return list(waiting.values_list("number", flat=True))


def wanted_connectors(connector_ids: Collection[int]) -> set[int]:
    """Which of these plugs somebody is on the way to, or has been promised."""
    planned = ChargePlan.objects.open().filter(connector_id__in=connector_ids)
    promised = Reservation.objects.active().filter(connector_id__in=connector_ids)
    wanted = {*planned.values_list("connector_id", flat=True), *promised.values_list("connector_id", flat=True)}
    return {connector_id for connector_id in wanted if connector_id is not None}


def send_again(*, charger_id: int, booted_at: datetime, now: datetime) -> int:
    """A charger that restarted may have forgotten what it promised: it is told once more; how many it was told.

    Its answer counts like the first one, but silence does not: we keep the promise ourselves (services.enforcement).
    """
    told = 0
    kept = promised_before(booted_at).filter(expires_at__gt=now, connector__evse__charger_id=charger_id)
    for reservation in kept.select_related(RELATED).order_by("pk"):
        with survived("reservation", reservation.pk):
            receipt = asking.ask(reservation, Way.NETWORK, f"{booted_at:%Y%m%d%H%M%S}")
            if receipt is not None and receipt.state == "pending":
                Reservation.objects.filter(pk=reservation.pk).update(reminded_at=now)
                told += 1
    return told


def with_promises(boots: Sequence[tuple[int, datetime]]) -> list[tuple[int, datetime]]:
    """Those (charger, when it restarted) that promised something before, and were not told it again since."""
    made = Reservation.objects.filter(state=State.CONFIRMED, way=Way.NETWORK)
    made = made.filter(connector__evse__charger_id__in={charger_id for charger_id, _ in boots})
    perhaps = set(made.values_list("connector__evse__charger_id", flat=True))
    return [boot for boot in boots if boot[0] in perhaps and _has_promises(*boot)]


def _has_promises(charger_id: int, booted_at: datetime) -> bool:
    kept = promised_before(booted_at).filter(expires_at__gt=booted_at, connector__evse__charger_id=charger_id)
    return kept.exists()


def promised_before(booted_at: datetime | F) -> QuerySet[Reservation]:
    """Promises that chargers made before they restarted, and were not told of again since."""
    made = Reservation.objects.filter(state=State.CONFIRMED, way=Way.NETWORK, sent_at__lt=booted_at)
    return made.filter(Q(reminded_at=None) | Q(reminded_at__lt=booted_at))


def answer_reservation(*, reservation_key: str, state: str, reason: str, at: datetime) -> bool:
    """The network's word: accepted, rejected, failed, timed_out, cancelled or expired. False: it changes nothing."""
    if state != "cancelled" and extending.is_about_extension(reservation_key, state):
        return True
    if state == "accepted":
        return _confirm(reservation_key, reason, at)
    if state == "expired":
        return _expired_there(reservation_key, at)
    return _lose(reservation_key, state, reason, at)


def _expired_there(reservation_key: str, at: datetime) -> bool:
    """Our clock decides when a promise is over: a charger that is ahead of it is told again."""
    known = Reservation.objects.filter(key=reservation_key, state=State.CONFIRMED, expires_at__gt=at + CLOCKS_DIFFER)
    reservation = known.select_related(RELATED).first()
    if reservation is None:
        return False
    return asking.ask(reservation, reservation.way or Way.NETWORK, f"{at:%Y%m%d%H%M%S}") is not None


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
        _show_hold(reservation.connector_id, at)
        if plan is not None:
            stories.tell(plan, now=at)
    return True


def _lose(reservation_key: str, state: str, reason: str, at: datetime) -> bool:
    """Refused or taken back by the network: the plan looks for another plug."""
    from dispatch.services import following  # it replans, and planning accepts, and accepting promises

    lost = {"rejected": State.REJECTED, "cancelled": State.CANCELLED}.get(state, State.FAILED)
    lost = State.EXPIRED if reason == NO_SHOW else lost
    with transaction.atomic():
        reservation = locked(reservation_key)
        if reservation is None or reservation.state not in Reservation.ACTIVE_STATES:
            return False
        if reservation.state == State.CONFIRMED and not _is_loss(reservation, lost, reason):
            return False
        if reservation.plan_id is None and reservation.is_rebooked and lost != State.EXPIRED:
            reservation.rebook_due_at = at
            reservation.save(update_fields=["rebook_due_at"])
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
    _show_hold(reservation.connector_id, now)
    return True


def release_each(reasons: Mapping[int, str], *, now: datetime) -> list[ReservationChanged]:
    """Of plans that are locked and need no place any more, by plan; what the caller has to publish."""
    rows = list(Reservation.objects.select_for_update().active().filter(plan__in=list(reasons)).order_by("pk"))
    for row in rows:
        row.state, row.reason, row.answered_at = State.CANCELLED, reasons[row.plan_id or 0][:120], now
    update_each(rows, ["state", "reason", "answered_at"])
    _show_holds({row.connector_id for row in rows}, now)
    return [_fact_of(row, row.state, row.reason, now) for row in rows]


def use(reservation: Reservation, now: datetime) -> None:
    """The vehicle has come. With the reservation locked."""
    settle(reservation, State.USED, "", now)


def settle(reservation: Reservation, state: str, reason: str, now: datetime) -> None:
    """End a promise and let the connector go. With the reservation locked."""
    _settle(reservation, state, reason, now)
    _show_hold(reservation.connector_id, now)


@transaction.atomic
def cancel_reservation(
    *, number: int, actor: User | None, actor_label: str = "", reason: str = "", now: datetime
) -> bool:
    """A dispatcher takes a promise back; the plan behind it is dismissed with it. False when it was not active."""
    plan_id, state = Reservation.objects.values_list("plan_id", "state").get(pk=number)
    if state not in Reservation.ACTIVE_STATES:  # its plan may live on, with a newer promise
        return False
    if plan_id is not None:
        from dispatch.services import decisions

        if ChargePlan.objects.filter(pk=plan_id, state__in=("proposed", "accepted", "reserved")).exists():
            decisions.dismiss_plan(plan_id=plan_id, actor=actor, actor_label=actor_label, reason=reason, now=now)
            return True
    reservation = Reservation.objects.select_for_update().get(pk=number)
    if reservation.state not in Reservation.ACTIVE_STATES:
        return False
    _settle(reservation, State.CANCELLED, reason or "cancelled", now)
    _show_hold(reservation.connector_id, now)
    audit(action="reservation.cancel", target=reservation, actor=actor, actor_label=actor_label, reason=reason)
    return True


def cancel_at_network(number: int, now: datetime) -> bool:
    """Tell the network that we let go, once; True when it was asked. Raises CPOUnavailable: then it is tried again."""
    reservation = Reservation.objects.select_related(RELATED).get(pk=number)
    is_due = reservation.state in LET_GO and reservation.sent_at is not None and reservation.given_back_at is None
    if not is_due:
        return False
    was_asked = True
    try:
        was_asked = asking.let_go(reservation)
    except CPOUnavailable:
        raise
    except CPOError as error:  # it has spoken; asking again would bring the same
        logger.warning("%s does not take back reservation %s: %s", reservation.connector, number, error)
    unchanged = Reservation.objects.filter(pk=number, answered_at=reservation.answered_at)
    unchanged.update(given_back_at=now)  # what it granted meanwhile is given back by another call
    return was_asked


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
            _show_hold(reservation.connector_id, now)
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
    publish(_fact_of(reservation, state, reason, at))


def _fact_of(row: Reservation, state: str, reason: str, at: datetime) -> ReservationChanged:
    return ReservationChanged(
        row.number, row.organisation_id, row.connector_id, row.vehicle_id, state, reason, at, row.plan_id
    )


def _show_hold(connector_id: int, at: datetime) -> None:
    _show_holds([connector_id], at)


def _show_holds(connector_ids: Collection[int], at: datetime) -> None:
    """A plug is held while a promise is in force; one for later does not count yet."""
    if connector_ids:
        held = set(_in_force(at).filter(connector_id__in=connector_ids).values_list("connector_id", flat=True))
        set_holds(holds={connector_id: connector_id in held for connector_id in connector_ids}, at=at)


def _in_force(at: datetime) -> QuerySet[Reservation]:
    return Reservation.objects.filter(state=State.CONFIRMED, starts_at__lte=at + BEGINS_WITHIN)


def release_held_for_nobody(*, now: datetime) -> int:
    """Let plugs go that are held without a promise in force; how many."""
    plugs = list(_held_for_nobody(now).values_list("pk", flat=True))
    for connector_id in plugs:
        with transaction.atomic():
            Connector.objects.select_for_update().get(pk=connector_id)  # a promise made meanwhile is seen
            _show_hold(connector_id, now)
    return len(plugs)


def _held_for_nobody(now: datetime) -> QuerySet[Connector]:
    """Reads the held plugs alone (index held_connectors): it is asked every ten seconds."""
    promised = _in_force(now).filter(connector_id=OuterRef("pk"))
    return Connector.objects.filter(~Exists(promised), is_held=True).order_by("pk")


def begin_reservations(*, now: datetime) -> int:
    """Hold the plugs of promises whose time has come; how many."""
    begun = Reservation.objects.filter(
        state=State.CONFIRMED, starts_at__lte=now, expires_at__gt=now, connector__is_held=False
    )
    plugs = list(begun.order_by("connector_id").values_list("connector_id", flat=True).distinct())
    for connector_id in plugs:
        with transaction.atomic():
            _show_hold(connector_id, now)
    return len(plugs)
