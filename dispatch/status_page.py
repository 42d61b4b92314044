"""The public page of an operator who wants one: how its public chargers do, and nothing that belongs to a fleet."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.services.tariffs import zone_of
from dispatch.reports import chargers
from dispatch.reports.periods import usual
from dispatch.reports.uptime import Time, together
from fleetcharge.accounts.models import Organisation
from stations.belief import has_believed_connector
from stations.models import Connector, Location

SHOWN, KEPT = 500, timedelta(minutes=1)
"""Whoever asks, and however often, the database is asked once a minute."""


@dataclass(frozen=True)
class Site:
    name: str
    city: str
    total: int
    free: int
    working: int
    time: Time

    @property
    def tone(self) -> str:
        return "ok" if self.working == self.total else "warn" if self.working else "bad"


@dataclass(frozen=True)
class Standing:
    sites: list[Site]
    as_of: datetime

    @property
    def time(self) -> Time:
        return together(site.time for site in self.sites)

    @property
    def working(self) -> int:
        return sum(site.working for site in self.sites)

    @property
    def total(self) -> int:
        return sum(site.total for site in self.sites)


_standings: dict[int, Standing] = {}  # by organisation; only those that show theirs


def status(request: HttpRequest, slug: str) -> HttpResponse:
    """404 for an operator who shows none, as for one that does not exist."""
    operator = Organisation.objects.filter(slug=slug, shows_status=True).first()
    if operator is None:
        raise Http404("No such page.")
    zone = zone_of(operator.time_zone)
    with timezone.override(zone):
        context = {"operator": operator.name, "standing": _kept(operator)}
        return render(request, "dispatch/status.html", context)


def _kept(operator: Organisation) -> Standing:
    standing, now = _standings.get(operator.pk), timezone.now()
    if standing is None or now - standing.as_of >= KEPT:
        standing = _standings[operator.pk] = standing_of(operator, now=now)
    return standing


def standing_of(operator: Organisation, *, now: datetime) -> Standing:
    """Of the operator's own plugs at sites that are open to everybody; a private depot is none. Two queries."""
    theirs = Q(evses__charger__organisation=operator) | Q(evses__charger=None, source__organisation=operator)
    existing = Q(evses__is_removed=False, evses__connectors__is_removed=False) & theirs
    works = Q(evses__connectors__status__in=["available", "occupied", "charging", "reserved"])
    believed = existing & has_believed_connector(now)
    own = Q(source__organisation=operator) | Q(chargers__organisation=operator)
    ids = Location.objects.filter(own, organisation=None, is_removed=False).values("pk")
    found: QuerySet[Any] = Location.objects.filter(pk__in=ids).annotate(
        total=Count("evses__connectors", filter=existing),
        working=Count("evses__connectors", filter=believed & works),
        free=Count("evses__connectors", filter=believed & Q(evses__connectors__status=Connector.Status.AVAILABLE)),
    )
    times = _times(operator, now)
    sites = [
        Site(row.name, row.city, row.total, row.free, row.working, times.get(row.public_id, Time()))
        for row in found.filter(total__gt=0).order_by("name", "pk")[:SHOWN]
    ]
    return Standing(sites, now)


def _times(operator: Organisation, now: datetime) -> dict[str, Time]:
    """The last thirty days of each site."""
    zone = zone_of(operator.time_zone)
    period = usual(now.astimezone(zone).date(), zone)
    times: dict[str, Time] = {}
    for port in chargers.ports(operator, [period], now=now):
        times[port.station_id] = times.get(port.station_id, Time()) + port.time
    return times
