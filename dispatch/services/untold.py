"""What networks and chargers must hear of our promises, found again when the hint about it was lost."""

from datetime import datetime, timedelta

from django.db.models import F, QuerySet

from dispatch.models import Reservation
from dispatch.services.reservations import LET_GO, cancel_at_network, promised_before, send_again
from fleetcharge.lib.sweeps import survived
from stations.cpo.base import CPOUnavailable

HINT_HAS = timedelta(seconds=30)
"""The event is faster; a sweep that came first would only say everything twice."""
FORGOTTEN_AFTER = timedelta(minutes=15)
"""Past its expiry by so much, no network holds a promise any more."""


def give_back(*, now: datetime) -> int:
    """Tell the networks what we let go and they have not heard; how many were told.

    A network that cannot be reached is not asked for the rest of this round.
    """
    told, unreachable = 0, set[int]()
    for number, source_id in to_give_back(now).values_list("number", "connector__evse__location__source"):
        if source_id in unreachable:
            continue
        with survived("reservation", number):
            try:
                told += cancel_at_network(number, now)
            except CPOUnavailable:
                unreachable.add(source_id)
    return told


def to_give_back(now: datetime) -> QuerySet[Reservation]:
    waiting = Reservation.objects.filter(state__in=LET_GO, sent_at__isnull=False, given_back_at=None)
    return waiting.filter(answered_at__lt=now - HINT_HAS, expires_at__gt=now - FORGOTTEN_AFTER).order_by("number")


def remind(*, now: datetime) -> int:
    """Tell chargers that restarted what they had promised before, as long as they do not take it; how often."""
    told = 0
    for charger_id, booted_at in to_remind(now):
        with survived("charger", charger_id):
            told += send_again(charger_id=charger_id, booted_at=booted_at, now=now)
    return told


def to_remind(now: datetime) -> list[tuple[int, datetime]]:
    """(charger, when it booted) of connected chargers that may have forgotten something."""
    booted_at = F("connector__evse__charger__last_boot_at")
    kept = promised_before(booted_at).filter(
        expires_at__gt=now,
        connector__evse__charger__is_online=True,
        connector__evse__charger__last_boot_at__lt=now - HINT_HAS,
    )
    rows = kept.values_list("connector__evse__charger_id", booted_at).order_by("connector__evse__charger_id")
    return list(rows.distinct())
