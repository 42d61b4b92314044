"""What the plugs of each site said: their statuses at the end, with the transitions before it taken back one by one."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from dispatch import wire
from dispatch.past.span import Span
from stations.models import Connector, StatusChange

MAX_CONNECTORS = 5_000
MAX_CHANGES = 50_000
Change = tuple[int, str, str, datetime]
"""Connector, old and new status, when."""

Step = tuple[int, int, int]
"""From this second on: so many free, and the colour of the site (`wire.worst_of`)."""


def read(span: Span) -> tuple[dict[int, tuple[int, list[Step]]], bool]:
    """By site: how many plugs it has, and its steps; and whether that is all of them."""
    plugs = list(_plugs(span).values_list("pk", "evse__location_id", "said")[: MAX_CONNECTORS + 1])
    sites = {pk: site for pk, site, _status in plugs[:MAX_CONNECTORS]}
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for _pk, site, status in plugs[:MAX_CONNECTORS]:
        counts[site][status] += 1
    changes = list(_changes(span, list(sites))[: MAX_CHANGES + 1])
    totals = {site: statuses.total() for site, statuses in counts.items()}
    steps = steps_of(span, counts, sites, changes[:MAX_CHANGES])
    is_whole = len(plugs) <= MAX_CONNECTORS and len(changes) <= MAX_CHANGES
    return {site: (totals[site], steps[site]) for site in totals}, is_whole


def _plugs(span: Span) -> QuerySet[Any]:
    """With what each `said` at the end: the first transition since tells it, however long ago that was."""
    box, since = span.box, StatusChange.objects.filter(connector=OuterRef("pk"), at__gt=span.end)
    before = Subquery(since.order_by("at", "pk").values("old")[:1])
    return Connector.objects.visible_to(span.organisation).filter(
        evse__location__latitude__range=(box.south, box.north), evse__location__longitude__range=(box.west, box.east)
    ).annotate(said=Coalesce(before, F("status"))).order_by("evse__location_id", "pk")  # fmt: skip


def _changes(span: Span, connectors: list[int]) -> QuerySet[StatusChange, Change]:
    within = StatusChange.objects.filter(connector__in=connectors, at__gt=span.start, at__lte=span.end)
    return within.order_by("-at", "-pk").values_list("connector_id", "old", "new", "at")


def steps_of(
    span: Span, counts: dict[int, Counter[str]], sites: dict[int, int], changes: Iterable[Change]
) -> dict[int, list[Step]]:
    """`counts` are of the end and are taken back; `changes` begin with the newest."""
    steps: dict[int, list[Step]] = defaultdict(list)
    for connector, old, new, at in changes:
        site = sites[connector]
        steps[site].append((span.second_of(at), *_look(counts[site])))
        counts[site][new] -= 1
        counts[site][old] += 1
    for site, statuses in counts.items():
        steps[site].append((0, *_look(statuses)))
    return {site: _unlike(reversed(told)) for site, told in steps.items()}


def _look(statuses: Counter[str]) -> tuple[int, int]:
    status = Connector.Status
    free = max(0, statuses[status.AVAILABLE])
    busy = statuses[status.CHARGING] + statuses[status.OCCUPIED]
    worst = wire.worst_of(
        free=free, busy=max(0, busy), reserved=max(0, statuses[status.RESERVED]),
        faulted=max(0, statuses[status.FAULTED]),
    )  # fmt: skip
    return free, worst


def _unlike(steps: Iterable[Step]) -> list[Step]:
    """Only those that look different from the one before."""
    told: list[Step] = []
    for step in steps:
        if not told or told[-1][1:] != step[1:]:
            told.append(step)
    return told
