"""Housekeeping of the ping table."""

import logging
from datetime import UTC, datetime

from celery import shared_task
from django.conf import settings

from vehicles import services

logger = logging.getLogger(__name__)


@shared_task
def keep_partitions() -> None:
    """Tables for the days ahead exist, those past retention are gone; hourly, and harmless to repeat."""
    today = datetime.now(UTC).date()
    for day in services.ensure_partitions(today=today):
        logger.info("pings of %s have a table", day)
    for day in services.drop_old_partitions(today=today):
        logger.warning("dropped the pings of %s, older than %d days", day, settings.POSITION_RETENTION_DAYS)
