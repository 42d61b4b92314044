"""Sessions that stay PENDING: asked about at their CPO, and stopped when nobody will ever end them (OCPI issue 524)."""

import logging
from datetime import datetime, timedelta

from django.db.models import Q

from stations.cpo.base import CPOError
from stations.cpo.ocpi.adapter import OCPIAdapter
from stations.cpo.ocpi.models import RoamingSession
from stations.models import Source
from stations.services.roaming import session_id_of

logger = logging.getLogger(__name__)
PATIENCE = timedelta(minutes=10)
"""Waking a vehicle and plugging in takes minutes."""
ASKED_EVERY = timedelta(minutes=10)
STOPPED_AFTER = timedelta(minutes=30)
AT_ONCE = 50
_AWAY = (Source.State.FAILING, Source.State.DISABLED)


def watch_pending(*, now: datetime) -> int:
    """Ask the CPOs about sessions that have been PENDING for long, and stop those that stay so; how many were asked."""
    silent = Q(watched_at=None) | Q(watched_at__lte=now - ASKED_EVERY)
    pending = RoamingSession.objects.filter(silent, status="PENDING", updated_at__lte=now - PATIENCE)
    asked = 0
    for session in pending.select_related("source").exclude(source__state__in=_AWAY).order_by("pk")[:AT_ONCE]:
        if RoamingSession.objects.filter(silent, pk=session.pk).update(watched_at=now):  # one of us asks
            _look(session, now)
            asked += 1
    return asked


def _look(session: RoamingSession, now: datetime) -> None:
    adapter, session_id = OCPIAdapter(session.source.kind), session_id_of(session)
    try:
        adapter.fetch_session(session.source, session_id)
        session.refresh_from_db()
        if session.status == "PENDING" and session.started_at <= now - STOPPED_AFTER:
            adapter.stop_session(session.source, session_id, f"pending-{session.pk}")
    except CPOError as error:
        logger.warning("%s: pending session %s: %s", session.source.slug, session_id, error)
