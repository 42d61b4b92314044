"""Every quarter of an hour: how well every unit works, by all that is known of it, and what that calls for."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import transaction

from stations.health import evidence
from stations.health.features import Features, features_of
from stations.health.models import EvseHealth, HealthDay, SocketDay
from stations.health.score import Health, judge
from stations.models.connectors import EVSE

UNITS_AT_ONCE = 500
DAYS_KEPT, SOCKETS_KEPT = timedelta(days=400), timedelta(days=60)
JUDGED = ["score", "p_unusable", "is_failing", "penalties", "features", "judged_at"]
OF_A_DAY = ["score", "p_unusable", "penalties", "features"]


def judge_units(*, now: datetime) -> int:
    """Score every unit of which anything is known; how many. Run twice it changes nothing but the instant."""
    evidence.count_sockets(now=now)
    judged, after = 0, 0
    units = EVSE.objects.filter(is_removed=False).order_by("pk")
    while ids := list(units.filter(pk__gt=after).values_list("pk", flat=True)[:UNITS_AT_ONCE]):
        judged, after = judged + judge_some(ids, now=now), ids[-1]
    return judged


def forget_days(*, now: datetime) -> int:
    SocketDay.objects.filter(on__lt=(now - SOCKETS_KEPT).date()).delete()
    return HealthDay.objects.filter(on__lt=(now - DAYS_KEPT).date()).delete()[0]


def judge_some(evse_ids: Iterable[int], *, now: datetime) -> int:
    known = evidence.gather(evse_ids, now=now)
    figures = {pk: features_of(found, now) for pk, found in known.items() if not found.is_empty}
    with transaction.atomic():
        _store({pk: (features, judge(features)) for pk, features in figures.items()}, now)
        EvseHealth.objects.filter(pk__in=known.keys() - figures.keys()).delete()
    return len(figures)


def _store(judged: dict[int, tuple[Features, Health]], now: datetime) -> None:
    rows, days = [], []
    for pk, (features, health) in judged.items():
        values = {
            "score": health.score, "p_unusable": health.p_unusable, "features": asdict(features),
            "penalties": [asdict(penalty) for penalty in health.penalties],
        }  # fmt: skip
        rows.append(EvseHealth(evse_id=pk, is_failing=health.is_failing, judged_at=now, **values))
        days.append(HealthDay(evse_id=pk, on=now.date(), **values))
    EvseHealth.objects.bulk_create(rows, update_conflicts=True, unique_fields=["evse"], update_fields=JUDGED)
    HealthDay.objects.bulk_create(days, update_conflicts=True, unique_fields=["evse", "on"], update_fields=OF_A_DAY)
