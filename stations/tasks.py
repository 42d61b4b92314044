"""Background work of the registry: polls that are due, chargers that fell silent, commands nobody answered."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from fleetcharge.lib.turns import turn
from stations import services
from stations.cpo import registry
from stations.cpo.base import Capability, CPOError, CPOUnavailable, PullReport
from stations.cpo.ocpi import registration, watchdog
from stations.cpo.ocpi.adapter import OCPIAdapter
from stations.cpo.peer_words import peer_words
from stations.cpo.ubc import tasks as ubc_tasks  # noqa: F401 (Celery finds the tasks of an app here)
from stations.cpo.webhooks import tasks as feed_tasks  # noqa: F401 (likewise)
from stations.deciding import OFFLINE_GRACE
from stations.models import Charger, CPOCommand, PollRun, Source
from stations.services import duplicates

logger = logging.getLogger(__name__)
LONGEST_POLL_SECONDS = 1800.0
_POLLS_OF_A_SOURCE, _POLLS = 7305, 7306
"""Spaces of advisory locks."""


@shared_task
def poll_due_sources() -> int:
    """Claim what is due (so that two beats poll once) and poll each in a task of its own."""
    now = timezone.now()
    watch_silence(now)
    due = Source.objects.filter(Q(next_poll_at=None) | Q(next_poll_at__lte=now)).exclude(state=Source.State.DISABLED)
    started = 0
    for source in due:
        if registry.can(source, Capability.PULL) and _claim(source, now):
            poll_source.delay(source.pk)
            started += 1
    expire_cpo_commands(now)
    return started


def watch_silence(now: datetime) -> int:
    """Networks that push and have gone quiet: asked at once, or failing where nobody can ask. Returns how many."""
    pushing = Source.objects.filter(state=Source.State.CONNECTED, last_push_at__isnull=False)
    silent = 0
    for source in pushing.order_by("pk"):
        can_pull = registry.can(source, Capability.PULL)
        if services.is_silent(source, can_pull=can_pull, now=now):
            services.source_silent(source_id=source.pk, can_pull=can_pull, at=now)
            silent += 1
    return silent


def _claim(source: Source, now: datetime) -> bool:
    pause = timedelta(seconds=source.poll_interval_seconds * random.uniform(0.9, 1.1))  # noqa: S311 (jitter)
    unchanged = Source.objects.filter(pk=source.pk, next_poll_at=source.next_poll_at)
    return unchanged.update(next_poll_at=now + pause) == 1


@shared_task
def poll_source(source_id: int) -> int:
    """One full or incremental pull; returns the number of sites written. Failures back off, and are shown.

    A network that is slow must not keep the workers from everything else: it is polled once at a time, all of them
    together take `POLLS_AT_ONCE` workers, and those that failed last time half of these.
    """
    source = Source.objects.get(pk=source_id)
    places = max(1, settings.POLLS_AT_ONCE // 2) if source.failures_in_row else settings.POLLS_AT_ONCE
    with turn(_POLLS_OF_A_SOURCE, source.pk) as is_mine:
        if not is_mine:
            return 0
        with turn(_POLLS, *range(places)) as has_place:
            if has_place:
                return _poll(source)
    Source.objects.filter(pk=source.pk).update(next_poll_at=timezone.now())  # the next beat tries again
    return 0


def _poll(source: Source) -> int:
    began, written, refused = timezone.now(), 0, 0
    refusals: list[dict[str, Any]] = []
    services.poll_began(source_id=source.pk, at=began)
    result = PollRun.Result.FAILED
    try:
        for report in _in_time(source, registry.adapter_for(source).poll(source)):
            written, refused = written + report.locations, refused + len(report.rejected)
            refusals += report.rejected[: services.REFUSALS_SHOWN - len(refusals)]
            services.poll_went_on(source_id=source.pk, report=report, at=timezone.now())
        result = PollRun.Result.DONE
    except CPOError as error:
        logger.warning("poll of %s failed: %s", source.slug, error)
        wait_seconds = getattr(error, "retry_after_seconds", 0)
        services.source_failed(
            source_id=source.pk, error=str(error), code=error.code, at=timezone.now(), retry_after_seconds=wait_seconds
        )
        return 0
    except Exception as error:  # ours or theirs: it is shown, counted and tried again
        name = type(error).__name__
        why = f"{name}: {peer_words(error)}"
        told = f"We failed at what it sent, and ask again by ourselves; the log says where ({why})."
        services.source_failed(source_id=source.pk, error=told, code=name, at=timezone.now())
        raise
    finally:
        services.poll_ended(source_id=source.pk, result=result, written=written, at=timezone.now())
    shown = [{"id": str(each["id"])[:80], "why": str(each["why"])[:300]} for each in refusals]
    services.source_polled(source_id=source.pk, at=began, refused_objects=refused, refusals=shown)
    if source.last_polled_at is None and written:
        _look_for_twins()
    return written


def _look_for_twins() -> None:
    """A network's first list may name what others list already: nobody should meet a site twice for an hour."""
    try:
        find_duplicates.delay()
    except Exception:  # without Valkey the sweep of the hour finds them
        logger.warning("duplicates wait for the sweep", exc_info=True)


def _in_time(source: Source, reports: Iterator[PullReport]) -> Iterator[PullReport]:
    ends_at = time.monotonic() + LONGEST_POLL_SECONDS
    for report in reports:
        yield report
        if time.monotonic() > ends_at:
            raise CPOUnavailable(f"{source.name} takes longer than {LONGEST_POLL_SECONDS:.0f} s for all of it.")


@shared_task
def fetch_location(source_id: int, location_id: str) -> bool:
    """One site that a push named and we do not hold."""
    return _fetch(source_id, location_id, OCPIAdapter.fetch)


@shared_task
def fetch_session(source_id: int, session_id: str) -> bool:
    """One session that a push named and we do not hold."""
    return _fetch(source_id, session_id, OCPIAdapter.fetch_session)


def _fetch(source_id: int, object_id: str, step: Callable[[OCPIAdapter, Source, str], bool]) -> bool:
    source = Source.objects.get(pk=source_id)
    adapter = registry.adapter_for(source)
    if not isinstance(adapter, OCPIAdapter) or source.state == Source.State.DISABLED:
        return False
    try:
        return step(adapter, source, object_id)
    except CPOError as error:
        logger.warning("%s: %s: %s", source.slug, object_id, error)
        return False


@shared_task
def register_source(source_id: int) -> None:
    """The handshake, or new tokens for a network that is registered already; what goes wrong is shown there."""
    source = Source.objects.get(pk=source_id)
    _attempt(source, registration.rotate if source.endpoints else registration.register)


@shared_task
def unregister_source(source_id: int) -> None:
    _attempt(Source.objects.get(pk=source_id), registration.unregister)


def _attempt(source: Source, step: Callable[..., None]) -> None:
    try:
        step(source, at=timezone.now())
    except CPOError as error:
        services.source_failed(source_id=source.pk, error=str(error), code=error.code, at=timezone.now())


@shared_task
def watch_pending_sessions() -> int:
    """Sessions at CPOs that neither begin nor end; returns how many were asked about."""
    return watchdog.watch_pending(now=timezone.now())


@shared_task
def check_source(source_id: int) -> None:
    """Does it answer? The result stands in the network's last error: empty when it does."""
    source = Source.objects.get(pk=source_id)
    try:
        registration.check(source)
    except CPOError as error:
        Source.objects.filter(pk=source_id).update(last_error=f"Test: {error}", last_error_code=error.code[:40])
    else:
        Source.objects.filter(pk=source_id).update(last_error="", last_error_code="")


def expire_cpo_commands(now: datetime) -> None:
    """No result in time is an answer too. A result that comes later is still taken."""
    overdue = CPOCommand.objects.filter(
        deadline_at__lt=now, state__in=[CPOCommand.State.SENT, CPOCommand.State.CPO_ACCEPTED]
    )
    for command in overdue[:500]:
        services.finish_cpo_command(command_id=command.pk, state=CPOCommand.State.TIMED_OUT, reason="no result", at=now)


@shared_task
def find_duplicates() -> dict[str, int]:
    """Sites that several networks name; plain ones are merged, the others wait for a person."""
    return duplicates.find_duplicates(at=timezone.now())


@shared_task
def sweep_silent_chargers() -> int:
    """Sockets that closed and stayed closed, sockets that are open but say nothing any more, plugs that are calm."""
    now = timezone.now()
    services.calm_connectors(now=now)
    silent_since = now - timedelta(seconds=2 * settings.OCPP_HEARTBEAT_SECONDS + 60)
    for charger in Charger.objects.online().filter(last_seen_at__lt=silent_since):
        services.charger_disconnected(charger_id=charger.pk, epoch=charger.connection_epoch, at=now)
    gone = Charger.objects.filter(is_online=False, disconnected_at__lt=now - OFFLINE_GRACE)
    unshown = gone.filter(Q(silent_shown_at=None) | Q(silent_shown_at__lt=F("disconnected_at")))
    shown = 0
    for pk in unshown.values_list("pk", flat=True)[:500]:
        services.show_silent(charger_id=pk, at=now)
        shown += 1
    return shown
