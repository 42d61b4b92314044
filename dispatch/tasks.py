"""Dispatch in the background: quick answers to events, and sweeps that find what an event missed."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import services, triggers
from dispatch.models import ChargePlan, Reservation
from dispatch.situation import LONGEST_SESSION
from fleetcharge.lib.precedence import hurried
from fleetcharge.lib.sweeps import survived
from stations.cpo.base import CPOUnavailable
from vehicles.estimating import TENTH
from vehicles.models import VehicleState

STALE_PROPOSAL = timedelta(minutes=5)
RETRY_INFEASIBLE = timedelta(minutes=1)
RETRY_AFTER_CHARGING = timedelta(minutes=10)
RETRY_AFTER_NO_SHOW = timedelta(minutes=10)
SEND_AGAIN_AFTER = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=60)
BOOKING_ANSWER_WITHIN = timedelta(minutes=6)
CHUNK = 500
EMPTY_PERCENT = 1.0
"""A dismissal of so little stands until the vehicle has charged."""
STRANDED_AFTER = timedelta(seconds=30)
State = ChargePlan.State

logger = logging.getLogger(__name__)


@shared_task
@hurried()
def plan_charge_stop(vehicle_id: int, telemetry_version: int) -> None:
    services.plan_charge_stop(
        vehicle_id=vehicle_id, trigger="soc_low", trigger_key=soc_key(vehicle_id, telemetry_version), now=timezone.now()
    )


def soc_key(vehicle_id: int, telemetry_version: int) -> str:
    return f"soc:{vehicle_id}:{telemetry_version}"


@shared_task
def send_reservation(number: int) -> None:
    services.send_reservation(number, timezone.now())


@shared_task(autoretry_for=(CPOUnavailable,), retry_backoff=True, max_retries=5)
def cancel_at_network(number: int) -> None:
    services.cancel_at_network(number, timezone.now())


@shared_task
def send_extension(number: int) -> None:
    services.send_extension(number, timezone.now())


@shared_task
def rebook(number: int) -> None:
    services.rebook(number, timezone.now())


@shared_task
def send_command(pk: int) -> None:
    services.send_command(pk, timezone.now())


@shared_task
def stop_breach(breach_id: int) -> None:
    services.ask_to_stop(breach_id=breach_id, now=timezone.now())


@shared_task(autoretry_for=(CPOUnavailable,), retry_backoff=True, max_retries=3)
def send_reservations_again(charger_id: int, booted_at: str) -> None:
    services.send_again(charger_id=charger_id, booted_at=datetime.fromisoformat(booted_at), now=timezone.now())


@shared_task
@hurried()
def follow_connector(connector_id: int, status: str) -> None:
    services.connector_changed(connector_id=connector_id, status=status, now=timezone.now())


@shared_task
@hurried()
def follow_connectors(changes: list[tuple[int, str]]) -> None:
    services.connectors_changed(changes=changes, now=timezone.now())


@shared_task
@hurried()
def follow_silent_charger(charger_id: int) -> None:
    services.charger_lost(charger_id=charger_id, now=timezone.now())


@shared_task
def follow_network(source_id: int) -> None:
    services.show_network(source_id=source_id, now=timezone.now())


@shared_task
@hurried()
def look_ahead(vehicle_id: int) -> None:
    services.plan_early(vehicle_id=vehicle_id, now=timezone.now())


@shared_task
def sweep_ways_ahead() -> int:
    """Plan for vehicles that are not low but will be before they are through, and for better plugs; how many plans."""
    now, made = timezone.now(), 0
    for vehicle_id in triggers.suspects(now=now):
        with survived("vehicle", vehicle_id):
            made += services.plan_early(vehicle_id=vehicle_id, now=now) is not None
    for plan_id in triggers.settled(now=now):
        with survived("plan", plan_id):
            made += services.move_to_better(plan_id=plan_id, now=now) is not None
    services.close_needless(now=now)
    services.close_early_alerts(now=now)
    return made


@shared_task
def sweep_alerts() -> int:
    """Open and close what an event missed: silent chargers, failing networks, webhooks, decided exceptions."""
    now = timezone.now()
    for charger_id in services.silence_unnoticed(now=now):
        with survived("charger", charger_id):
            services.charger_lost(charger_id=charger_id, now=now)
    for alarm_id in services.alarms_unnoticed(now=now):
        with survived("tracker alarm", alarm_id):
            services.vehicle_alarm(alarm_id=alarm_id, now=now)
    settled = services.settle_network_alerts(now=now) + services.settle_webhook_alerts(now=now)
    return settled + services.silence_over(now=now) + services.close_settled_money(now=now)


@shared_task
def sweep_low_vehicles() -> int:
    """Plan for low vehicles nobody plans for, and look again at proposals that have gone stale."""
    now = timezone.now()
    services.plan_together([_want(state, now) for state in low_without_plan(now)], now=now)
    stale = ChargePlan.objects.filter(state=State.PROPOSED, created_at__lt=now - STALE_PROPOSAL)
    for plan_id in stale.values_list("pk", flat=True):
        with survived("plan", plan_id):
            services.replan(plan_id=plan_id, reason="stale", now=now)
    return len(stale)


def _want(state: VehicleState, now: datetime) -> services.Want:
    key = soc_key(state.vehicle_id, state.version)
    if ChargePlan.objects.filter(trigger_key=key).exists():  # an earlier answer for the same moment: try again
        key = f"again:{state.vehicle_id}:{int(now.timestamp()) // 60}"
    return services.Want(state.vehicle_id, "soc_low", key)


def low_without_plan(now: datetime) -> QuerySet[VehicleState]:
    """Low, not charging, no open plan; not dismissed while it was this full; not just found infeasible, charged or
    missed."""
    plans = ChargePlan.objects.filter(vehicle_id=OuterRef("vehicle_id"))
    answered = Q(state__in=ChargePlan.OPEN_STATES)
    answered |= Q(state=State.INFEASIBLE, closed_at__gt=now - RETRY_INFEASIBLE)
    answered |= Q(state=State.COMPLETED, closed_at__gt=now - RETRY_AFTER_CHARGING)
    nobody_came = Q(state=State.EXPIRED, reservations__state=Reservation.State.EXPIRED)
    answered |= nobody_came & Q(closed_at__gt=now - RETRY_AFTER_NO_SHOW)
    low = VehicleState.objects.filter(is_soc_low=True, is_charging=False, vehicle__is_active=True)
    sessions = ChargingSession.objects.active().filter(vehicle_id=OuterRef("vehicle_id"), suspect_reason="")
    sessions = sessions.filter(started_at__gt=now - LONGEST_SESSION)
    limit = Coalesce(F("vehicle__soc_low_percent"), F("vehicle__organisation__soc_low_percent"))
    low = low.annotate(half_the_limit=limit / 2.0, sure_percent=_sure_percent())
    return (
        low.filter(~Exists(plans.filter(answered)), ~Exists(sessions)).exclude(_is_dismissed()).order_by("soc_percent")
    )


def _sure_percent() -> Case:
    """The charge as plans keep it: of an estimate what nine of ten such vehicles have."""
    tenth = Greatest(0.0, F("soc_percent") - TENTH * F("soc_sigma_percent"))
    return Case(When(soc_source=VehicleState.SocSource.ESTIMATED, then=tenth), default=F("soc_percent"))


def _is_dismissed() -> Q:
    """Somebody decided against charging, and it is still as full as that was about: above half of the low limit; below
    it, above half of what was left then, if that could be halved."""
    no = ChargePlan.objects.filter(
        vehicle_id=OuterRef("vehicle_id"), state=State.DISMISSED, decided_at__gte=OuterRef("soc_low_at")
    )
    is_full_still = Q(soc_percent__lte=EMPTY_PERCENT) | Q(soc_percent__lt=OuterRef("sure_percent") * 2)
    near_the_end = no.filter(is_full_still, soc_percent__lte=OuterRef("half_the_limit"))
    return Q(Exists(no), sure_percent__gt=F("half_the_limit")) | Q(Exists(near_the_end))


@shared_task
def sweep_reservations() -> int:
    """Send what was not sent, give up on what is not answered, end what is over, replan what lost its promise.

    And tell networks and restarted chargers what they have not heard.
    """
    now = timezone.now()
    requested = Reservation.objects.filter(state=Reservation.State.REQUESTED)
    unsent = requested.filter(sent_at=None, created_at__lt=now - SEND_AGAIN_AFTER)
    for number in unsent.values_list("number", flat=True):
        with survived("reservation", number):
            services.send_reservation(number, now)
    slow = Q(way=Reservation.Way.BOOKING, sent_at__gte=now - BOOKING_ANSWER_WITHIN)
    unanswered = requested.filter(sent_at__lt=now - ANSWER_WITHIN).exclude(slow)
    for key in unanswered.values_list("key", flat=True):
        with survived("reservation", key):
            services.answer_reservation(reservation_key=str(key), state="timed_out", reason="no answer", at=now)
    for plan_id in stranded(now).values_list("pk", flat=True):
        with survived("plan", plan_id):
            services.replan(plan_id=plan_id, reason="rejected", now=now)
    with survived("plugs", "lost unnoticed"):
        services.connectors_changed(changes=services.plugs_lost_unnoticed(now=now), now=now)
    with survived("plans", "kept waiting"):
        services.replan_together(plans=services.plans_kept_waiting(now=now), now=now)
    services.remind(now=now)
    services.give_back(now=now)
    _keep_reservations(now)
    return services.expire_reservations(now=now)


def _keep_reservations(now: datetime) -> None:
    """What networks may be asked by now, what comes into force, and what was lost without a plan behind it."""
    steps: list[tuple[Iterable[Any], Callable[[Any], object]]] = [
        (_numbers(services.held_until_near(now)), lambda number: services.ask_when_due(number, now)),
        (_numbers(services.unanswered_extensions(now)), lambda number: services.send_extension(number, now)),
        (services.lost_unnoticed(now), lambda plug: services.lose_place(connector_id=plug, reason="lost", now=now)),
        (services.blocked(now), lambda key: services.move(key, "taken", now)),
        (_numbers(services.rebookings_due(now, after=SEND_AGAIN_AFTER)), lambda number: services.rebook(number, now)),
    ]  # fmt: skip
    for rows, step in steps:
        for row in rows:
            with survived("reservation", row):
                step(row)
    services.begin_reservations(now=now)
    services.release_held_for_nobody(now=now)


def _numbers(rows: QuerySet[Reservation]) -> list[int]:
    return list(rows.order_by("number").values_list("number", flat=True)[:CHUNK])


@shared_task
def sweep_commands() -> int:
    """Starts and stops that were not sent, not answered, or not followed by a session; how many were closed."""
    now = timezone.now()
    for pk in list(services.unsent_commands(now).values_list("pk", flat=True)[:CHUNK]):
        with survived("command", pk):
            services.send_command(pk, now)
    return services.sweep_commands(now=now)


@shared_task
def sweep_breaches() -> int:
    """Find strangers on promised places that an event missed, and end what they left open."""
    return services.sweep_breaches(now=timezone.now())


def stranded(now: datetime) -> QuerySet[ChargePlan]:
    """Accepted plans whose promise is gone: a process died between losing it and planning again."""
    active = Reservation.objects.active().filter(plan_id=OuterRef("pk"))
    waiting = ChargePlan.objects.filter(state__in=(State.ACCEPTED, State.RESERVED))
    return waiting.filter(~Exists(active), decided_at__lt=now - STRANDED_AFTER)
