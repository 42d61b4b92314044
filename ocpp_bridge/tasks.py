"""Sweeps: commands nobody will answer, answers nobody will ask for again."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from celery import shared_task
from django.utils import timezone

from fleetcharge.lib.sweeps import survived
from ocpp_bridge import (
    answers,
    commands,
    configuration,
    fact_retention,
    firmware,
    following,
    inventory,
    jobs,
    local_lists,
    nodes,
    notices,
    odd_retention,
    recordings,
    report_retention,
    reports,
    rollouts,
    sampling,
    uploads,
)
from ocpp_bridge.charging import planning
from ocpp_bridge.models import Command

logger = logging.getLogger(__name__)
A = Command.Action
BRINGS_NEWS = (
    frozenset({A.GET_CONFIGURATION, A.GET_VARIABLES, A.CHANGE_CONFIGURATION}) | inventory.NEWS | firmware.KIND_OF.keys()
)


@shared_task
def take_command_answer(command_id: str) -> None:
    """Keep what an answered command told us of the charger."""
    now = timezone.now()
    configuration.take_answer(command_id=command_id, at=now)
    rollouts.take_answer(command_id=command_id, now=now)
    sampling.take_answer(command_id=command_id, now=now)
    inventory.take_answer(command_id=command_id, at=now)
    firmware.begin_job(command_id=command_id, at=now)


@shared_task
def sweep_configurations() -> int:
    """Ask after boots, keep what was answered, move roll-outs on; returns how many chargers were asked."""
    now = timezone.now()
    steps: tuple[Callable[..., int], ...] = (configuration.take_lost_answers, rollouts.sweep, sampling.sweep)
    for step in steps:  # none keeps the next from its work
        with survived("the configurations,", step.__qualname__):
            step(now=now)
    return configuration.ask_after_boots(now=now)


@shared_task
def keep_frames() -> None:
    """The flight recorder has tables for the days ahead, and none that are too old."""
    made, dropped = recordings.keep_partitions(today=datetime.now(UTC).date())
    if dropped:
        logger.warning("dropped the frames of %s", ", ".join(map(str, dropped)))
    if made:
        logger.info("frames of %s have a table", ", ".join(map(str, made)))


@shared_task
def sweep_certificates() -> int:
    """Sign what waits, warn of what ends, forget uploads that never came or are old; returns how many were signed."""
    now = timezone.now()
    uploads.sweep(now=now)
    inventory.warn_of_expiry(now=now)
    return inventory.sign_waiting(now=now)


@shared_task
def sweep_commands() -> int:
    """Close expired and lost commands, and starts that became no session; returns how many."""
    now = timezone.now()
    answers.forget_old(now)
    commands.forget_old(now=now)
    nodes.bury_the_lost(now=now)
    return commands.sweep(now=now) + following.sweep(now=now)


@shared_task
def sweep_reports() -> int:
    """Reports whose rest did not come, jobs that fell silent, notices past their time; returns how many were closed."""
    now = timezone.now()
    notices.forget_old(now=now)
    odd_retention.forget_old(now=now)
    report_retention.forget_old(now=now)
    return reports.close_silent(now=now) + jobs.show_stuck(now=now)


@shared_task
def forget_facts() -> int:
    """Security events, finished jobs and the like past their time; returns how many."""
    return fact_retention.forget_old(now=timezone.now())


@shared_task
def sweep_local_lists() -> int:
    """Compare every charger's local list with who may charge there, and send what is missing."""
    return local_lists.sweep(now=timezone.now())


@shared_task
def plan_charging(location_id: int, reason: str) -> None:
    """Split a site's power anew."""
    planning.plan(location_id=location_id, reason=reason, now=timezone.now())


@shared_task
def sweep_charging() -> int:
    """Sites where something happened, and every site once a minute; returns how many were planned."""
    return planning.sweep(now=timezone.now())
