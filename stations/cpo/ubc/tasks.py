"""Background work of UBC networks: one step of an order, and the sweep that finds what was missed."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from stations.cpo.base import CPOError
from stations.cpo.ubc import flow
from stations.cpo.ubc.models import UBCMessage, UBCNetwork

logger = logging.getLogger(__name__)
KEEP_MESSAGES = timedelta(days=400)
KEEP_CATALOGUES = timedelta(days=2)


@shared_task
def step_ubc_order(order_id: int) -> bool:
    """Send what an order has to say next."""
    return flow.step(order_id)


@shared_task
def sweep_ubc() -> int:
    """How many messages went out that an event had missed."""
    return flow.sweep(timezone.now())


@shared_task
def look_up_code(network_id: int, item_id: str, address: str) -> bool:
    """Ask a network for a connector that somebody stands in front of; True when it was found."""
    network = UBCNetwork.objects.select_related("source").get(pk=network_id)
    try:
        return flow.look_up(network, item_id=item_id, address=address)
    except CPOError as error:
        logger.warning("%s: a scanned code: %s", network.source.slug, error)
        return False


@shared_task
def prune_ubc() -> int:
    """Catalogues are in the registry after a moment; messages of orders are kept for disputes, longer than a year."""
    now = timezone.now()
    catalogues = UBCMessage.objects.filter(
        action__in=("on_discover", "discover"), received_at__lt=now - KEEP_CATALOGUES
    )
    orders = UBCMessage.objects.filter(received_at__lt=now - KEEP_MESSAGES)
    return catalogues.delete()[0] + orders.delete()[0]
