"""How long and how much we keep of the smaller facts that chargers tell; what is still open or in force stays."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Model, Q, QuerySet

from fleetcharge.lib.sweeps import survived
from ocpp_bridge.models import CertificateRequest, ChargerJob, ExternalLimit, SecurityEvent, StationCost

MOST_OF_A_CHARGER = 10_000
AT_ONCE = 5_000
MOST_OF_A_RUN = 1_000_000
OVER: tuple[tuple[type[Model], str, Q], ...] = (
    (SecurityEvent, "received_at", Q()),
    (ChargerJob, "updated_at", Q(is_open=False)),
    (ExternalLimit, "cleared_at", Q(cleared_at__isnull=False)),
    (StationCost, "at", Q()),
    (CertificateRequest, "received_at", ~Q(state=CertificateRequest.State.WAITING)),
)
"""Model, when it was over, and which of its rows are."""


def forget_old(*, now: datetime) -> int:
    """Delete what is past its time, and the oldest of chargers that said too much; how many.

    At most MOST_OF_A_RUN in all; the next run takes the rest.
    """
    oldest, gone = now - timedelta(days=settings.OCPP_FACT_DAYS), 0
    for model, column, is_over in OVER:
        with survived("facts,", model.__name__):
            rows: QuerySet[Any] = model._default_manager.filter(is_over)
            gone += _delete(rows.filter(**{f"{column}__lt": oldest}), column, MOST_OF_A_RUN - gone)
            for many in _too_many(rows, column):
                gone += _delete(many, column, MOST_OF_A_RUN - gone)
    return gone


def _too_many(rows: QuerySet[Any], column: str) -> list[QuerySet[Any]]:
    """Of each charger with more than its share, those that are older than the newest so many."""
    counts = rows.order_by().values("charger").annotate(count=Count("pk")).filter(count__gt=MOST_OF_A_CHARGER)
    found = []
    for charger_id in counts.values_list("charger", flat=True):
        own = rows.filter(charger=charger_id)
        newest = own.order_by(f"-{column}", "-pk").values_list("pk", flat=True)[:MOST_OF_A_CHARGER]
        found.append(own.exclude(pk__in=list(newest)))
    return found


def _delete(rows: QuerySet[Any], column: str, most: int) -> int:
    """The oldest first, in portions of AT_ONCE that are a transaction each; no more than `most`."""
    gone = 0
    while gone < most:
        ids = list(rows.order_by(column, "pk").values_list("pk", flat=True)[: min(AT_ONCE, most - gone)])
        rows.model._default_manager.filter(pk__in=ids).delete()
        gone += len(ids)
        if len(ids) < AT_ONCE:
            break
    return gone
