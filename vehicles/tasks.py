"""Housekeeping of the ping table, and what is made of it."""

import logging
from datetime import UTC, datetime

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from fleetcharge.lib import hints
from fleetcharge.lib.sweeps import survived
from fleetcharge.lib.turns import turn
from vehicles import loop, services, visits
from vehicles.geofences import following
from vehicles.geofences import services as geofences
from vehicles.packets import drop_old_packets
from vehicles.trips import services as trips

logger = logging.getLogger(__name__)
DAYS_A_SWEEP = 500
LOOP_LOCK = 0x0FE11C1E  # a space of advisory locks
PARTS_LOCK = 0x0FE11C1F


@shared_task
def keep_partitions() -> None:
    """Tables for the days ahead exist, those past retention are gone; hourly, and harmless to repeat."""
    today = datetime.now(UTC).date()
    drop_old_packets(now=timezone.now())
    geofences.forget_removed()
    geofences.forget_old(now=timezone.now())
    for day in services.ensure_partitions(today=today):
        logger.info("pings of %s have a table", day)
    for day in services.drop_old_partitions(today=today):
        logger.warning("dropped the pings of %s, older than %d days", day, settings.POSITION_RETENTION_DAYS)


@shared_task
def follow_vehicles() -> None:
    """What follows from the latest states, every fifteen seconds: stops that were visited, charges nobody told."""
    with turn(LOOP_LOCK, 0) as is_ours:
        if is_ours:
            visits.complete_visited(now=timezone.now())
            parts = loop.parts()
            hints.start_each(estimate_charges, parts[1:])
            for part in parts[:1]:
                estimate_charges(*part)


@shared_task
def estimate_charges(first: int, last: int) -> None:
    """Of these vehicles. What is lost, or still being made, is made in the next round."""
    with turn(PARTS_LOCK, first) as is_ours:
        if is_ours:
            loop.estimate_charges(now=timezone.now(), first=first, last=last)


@shared_task
def follow_geofences() -> None:
    """Who came into a geofence or left one, every five seconds; one process at a time."""
    with turn(LOOP_LOCK, 1) as is_ours:
        if is_ours:
            following.follow(now=timezone.now())


@shared_task
def make_days() -> int:
    """Trips, halts and charges of the days that got new pings; a day in progress about every quarter of an hour.

    Workers share the days; returns how many this one took.
    """
    made = 0
    while made < DAYS_A_SWEEP and (claimed := trips.claim_days(now=timezone.now())):
        for vehicle_id, day in claimed:
            with survived("vehicle day", f"{vehicle_id} {day}"):
                trips.make_day(vehicle_id=vehicle_id, day=day, now=timezone.now())
        made += len(claimed)
    return made
