"""What monitoring shows: networks, silent chargers, units that fail while they say they are free. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet

from fleetcharge.accounts.models import Organisation
from stations.belief import freshness_of_networks
from stations.health.models import Cause, EvseHealth, MaintenanceTicket
from stations.models import Charger, Connector, PollRun, Source
from stations.network_outbox import trouble_of

SHOWN = 100
BEATS_MISSED = 3
"""So many heartbeats without a word, and a charger counts as silent although its socket is open."""


@dataclass(frozen=True)
class Network:
    """`plugs`: how many are live, recent, stale and unheard of. `is_left_alone`: nothing but its next poll is sent.

    `trouble` is what fleets may read of it; what the network itself wrote is for operators.
    """

    source: Source
    plugs: dict[str, int]
    poll: PollRun | None
    is_left_alone: bool
    trouble: str


def networks(organisation: Organisation, *, now: datetime) -> list[Network]:
    """Those where the fleet may charge, the failing first. Two queries."""
    mine = Q(organisation=organisation) | Q(access__organisation=organisation)
    found = list(Source.objects.filter(mine).distinct().select_related("poll_run").order_by("-failures_in_row", "name"))
    plugs = freshness_of_networks([source.pk for source in found], now)
    return [_network(source, plugs[source.pk]) for source in found]


def _network(source: Source, plugs: dict[str, int]) -> Network:
    is_left_alone = source.is_ocpi and source.state in {Source.State.FAILING, Source.State.DISABLED}
    trouble = trouble_of(source) if source.failures_in_row else ""
    return Network(source, plugs, getattr(source, "poll_run", None), is_left_alone, trouble)


def silent_chargers(organisation: Organisation, *, now: datetime) -> QuerySet[Charger]:
    """Own ones without a socket, or with one that says nothing; the longest silence first."""
    quiet_since = now - timedelta(seconds=BEATS_MISSED * settings.OCPP_HEARTBEAT_SECONDS)
    quiet = Q(is_online=False) | Q(last_seen_at__lt=quiet_since)
    own = Charger.objects.for_organisation(organisation).filter(quiet)
    return own.select_related("location").order_by(F("last_seen_at").asc(nulls_first=True), "ocpp_identity")


@dataclass(frozen=True)
class Failing:
    health: EvseHealth
    causes: list[str]
    is_own: bool


def failing_units(organisation: Organisation) -> QuerySet[EvseHealth]:
    """Units where the fleet may charge that fail whoever comes and say that they are free, the worst first."""
    usable = Connector.objects.usable_by(organisation).values("evse_id")
    rows = EvseHealth.objects.failing_but_available().filter(evse__in=usable).order_by("score", "pk")
    return rows.select_related("evse__location__source", "evse__charger")


def failing(health: EvseHealth, organisation: Organisation) -> Failing:
    causes = [str(Cause(one["cause"]).label) for one in health.penalties]
    charger = health.evse.charger
    return Failing(health, causes, charger is not None and charger.organisation_id == organisation.pk)


def open_tickets(organisation: Organisation) -> QuerySet[MaintenanceTicket]:
    """The oldest first."""
    rows = MaintenanceTicket.objects.for_organisation(organisation).open()
    return rows.select_related("charger__location", "assignee").order_by("opened_at", "pk")
