"""What pricing many finished sessions needs, each kind of it in one statement however many they are."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from django.db.models import Model

from billing.gst.numbering import day_in_india
from billing.gst.supply import Supply
from billing.invoicing.services.place_of_supply import Parties, parties_of, supplies_of
from billing.models import CDR
from billing.prices.models import NegotiatedRate, Subscription
from billing.services import tariffs
from fleetcharge.accounts.models import Organisation
from stations.models import Connector, Source, Tariff
from vehicles.models import Driver, Vehicle

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Agreements:
    """What prices follow from, for all of a batch.

    `rates` by (fleet, network), the newest first; `lived` by fleet: first day and the day after the last of each of its
    subscriptions; `versions` by (network, name in small letters), the newest first.
    """

    rates: Mapping[tuple[int, int], Sequence[NegotiatedRate]]
    lived: Mapping[int, Sequence[tuple[date, date | None]]]
    versions: Mapping[tuple[int, str], Sequence[Tariff]]
    supplies: Mapping[Parties, Supply]


def claim(cdr_ids: Collection[int]) -> list[CDR]:
    """Those that wait for their first price and that nobody works on, locked, with all that pricing reads of them."""
    waiting = CDR.objects.uncaptured().filter(pk__in=cdr_ids, rated_at=None).select_related("session", "roaming_cdr")
    cdrs = list(waiting.select_for_update(of=("self",), skip_locked=True, no_key=True).order_by("pk"))
    if cdrs:
        _complete(cdrs)
    return cdrs


def agreements_of(cdrs: Sequence[CDR]) -> Agreements:
    """Four statements."""
    fleets = {cdr.organisation_id for cdr in cdrs}
    networks = {cdr.session.connector.evse.location.source_id for cdr in cdrs}
    rates = NegotiatedRate.objects.filter(organisation__in=fleets, source__in=networks)
    lived = Subscription.objects.filter(organisation__in=fleets).order_by()
    return Agreements(
        _grouped(((rate.organisation_id, rate.source_id), rate) for rate in rates.order_by("-valid_from", "-version")),
        _grouped((fleet, (since, until)) for fleet, since, until in lived.values_list(
            "organisation", "starts_on", "ends_before")),
        _versions(cdrs),
        supplies_of({parties_of(cdr.session) for cdr in cdrs}),
    )  # fmt: skip


def is_subscribed(cdr: CDR, agreements: Agreements) -> bool:
    """By a subscription, which holds at our own chargers: included energy is used in turn."""
    spans = agreements.lived.get(cdr.organisation_id)
    if not spans or cdr.session.source.kind != Source.Kind.OWN_OCPP:
        return False
    day = day_in_india(cdr.started_at)
    return any(since <= day and (until is None or day < until) for since, until in spans)


def _complete(cdrs: Sequence[CDR]) -> None:
    """Relations that many of them share are read once, and are the same object."""
    sessions = [cdr.session for cdr in cdrs]
    fleets = _rows(Organisation, [*(cdr.organisation_id for cdr in cdrs), *(each.organisation_id for each in sessions)])
    connectors = _rows(Connector, [session.connector_id for session in sessions], "tariff", "evse__location")
    sources = _rows(Source, [session.source_id for session in sessions])
    vehicles = _rows(Vehicle, [session.vehicle_id for session in sessions])
    drivers = _rows(Driver, [session.driver_id for session in sessions])
    told = _rows(Tariff, [cdr.tariff_id for cdr in cdrs])
    for cdr in cdrs:
        session = cdr.session
        cdr.organisation, session.organisation = fleets[cdr.organisation_id], fleets[session.organisation_id]
        cdr.tariff = told[cdr.tariff_id] if cdr.tariff_id else None
        session.connector, session.source = connectors[session.connector_id], sources[session.source_id]
        session.vehicle = vehicles[session.vehicle_id] if session.vehicle_id else None
        session.driver = drivers[session.driver_id] if session.driver_id else None


def _rows(model: type[Row], ids: Iterable[int | None], *related: str) -> dict[int, Row]:
    wanted = {each for each in ids if each is not None}
    rows: Any = model._default_manager
    if related:
        rows = rows.select_related(*related)
    return rows.in_bulk(wanted) if wanted else {}


def _versions(cdrs: Sequence[CDR]) -> Mapping[tuple[int, str], Sequence[Tariff]]:
    """Only of plugs whose sessions do not know their tariff yet."""
    names = {name for cdr in cdrs if cdr.tariff is None for name in tariffs.tariff_names(cdr.session.connector)}
    if not names:
        return {}
    rows = Tariff.objects.filter(
        source__in={source for source, _ in names}, external_id__lower__in={name for _, name in names}
    )
    return _grouped(((row.source_id, row.external_id.lower()), row) for row in rows.order_by("-version"))


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
