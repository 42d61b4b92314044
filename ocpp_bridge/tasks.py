"""Sweeps: commands nobody will answer, answers nobody will ask for again."""

import logging
from datetime import UTC, datetime

from celery import shared_task
from django.utils import timezone

from ocpp_bridge import answers, commands, following, nodes, recordings

logger = logging.getLogger(__name__)


@shared_task
def keep_frames() -> None:
    """The flight recorder has tables for the days ahead, and none that are too old."""
    made, dropped = recordings.keep_partitions(today=datetime.now(UTC).date())
    if dropped:
        logger.warning("dropped the frames of %s", ", ".join(map(str, dropped)))
    if made:
        logger.info("frames of %s have a table", ", ".join(map(str, made)))


@shared_task
def sweep_commands() -> int:
    """Close expired and lost commands, and starts that became no session; returns how many."""
    now = timezone.now()
    answers.forget_old(now)
    nodes.bury_the_lost(now=now)
    return commands.sweep(now=now) + following.sweep(now=now)
