"""Background work of feeds: pushes that were only kept, letters that may be delivered now, and what is forgotten."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from stations.cpo.webhooks import letters, receiver
from stations.cpo.webhooks.models import DeadLetter, WebhookCount, WebhookPush

logger = logging.getLogger(__name__)
KEEP_PUSHES, KEEP_LETTERS, KEEP_COUNTS = timedelta(days=2), timedelta(days=30), timedelta(days=100)
SWEPT_AFTER = timedelta(seconds=10)
PRUNED_AT_ONCE = 20_000


@shared_task
def apply_push(push_id: int) -> bool:
    """A push of many sites, and then what waited for them."""
    now = timezone.now()
    is_done = receiver.apply_push(push_id, now=now)
    if is_done and (feed_id := WebhookPush.objects.filter(pk=push_id).values_list("feed_id", flat=True).first()):
        letters.replay_known(feed_id, now=now)
    return is_done


def later(push_id: int) -> None:
    """Ask for it now; without Valkey the sweep finds it in some seconds."""
    try:
        apply_push.delay(push_id)
    except Exception:
        logger.warning("push %s waits for the sweep", push_id, exc_info=True)


@shared_task
def sweep_feeds() -> int:
    """Pushes that a lost task left behind, and letters whose EVSE has come; returns how many were done."""
    now = timezone.now()
    waiting = WebhookPush.objects.filter(applied_at=None, received_at__lt=now - SWEPT_AFTER).order_by("received_at")
    done = sum(receiver.apply_push(pk, now=now) for pk in waiting.values_list("pk", flat=True)[:20])
    feeds = DeadLetter.objects.waiting().filter(code="unknown_evse").values_list("feed_id", flat=True).distinct()
    return done + sum(sum(letters.replay_known(feed_id, now=now).values()) for feed_id in feeds)


@shared_task
def prune_feeds() -> int:
    """The inbox keeps two days, and what dead letters need; letters are dropped after a month. Returns how many."""
    now = timezone.now()
    gone = DeadLetter.objects.filter(last_at__lt=now - KEEP_LETTERS).delete()[0]
    gone += DeadLetter.objects.filter(replayed_at__lt=now - KEEP_PUSHES).delete()[0]
    gone += WebhookCount.objects.filter(day__lt=(now - KEEP_COUNTS).date()).delete()[0]
    old = WebhookPush.objects.filter(received_at__lt=now - KEEP_PUSHES).exclude(applied_at=None)
    old = old.exclude(pk__in=DeadLetter.objects.values("push_id"))
    ids = list(old.order_by("received_at").values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return int(gone + WebhookPush.objects.filter(pk__in=ids).delete()[0])
