"""Tariffs are kept in versions: a change closes the current one and opens the next."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish
from stations.events import TariffChanged
from stations.models import Connector, Location, Source, Tariff
from stations.ordering import is_older
from stations.pricing import Prices, elements_of


@transaction.atomic
def cache_tariff(
    *, source: Source, external_id: str, elements: list[dict[str, Any]], currency: str, at: datetime, name: str = "",
    updated_at: datetime | None = None, terms: dict[str, Any] | None = None,
) -> tuple[Tariff, bool]:  # fmt: skip
    """The current version of a tariff and whether it is new; the same content again, or older news, changes nothing.

    `elements` is OCPI's TariffElement list with prices as decimal strings; `terms`: see Tariff.
    Connectors follow to the new version.
    """
    Source.objects.select_for_update().get(pk=source.pk)
    content = [currency, elements, name, *([terms] if terms else [])]
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    current = Tariff.objects.filter(source=source, external_id__lower=external_id.lower(), valid_to=None).first()
    if current and (current.content_hash == digest or is_older(updated_at, current.source_updated_at, at)):
        return current, False
    facts = {
        "elements": elements, "terms": terms or {}, "currency": currency, "content_hash": digest, "name": name,
        "source_updated_at": updated_at,
    }  # fmt: skip
    return _next_version(source, current, external_id, facts, at), True


def _next_version(
    source: Source, current: Tariff | None, external_id: str, facts: dict[str, Any], at: datetime
) -> Tariff:
    starts_at = max(at, current.valid_from) if current else at
    if current:
        Tariff.objects.filter(pk=current.pk).update(valid_to=starts_at)
    tariff = Tariff.objects.create(
        source=source, external_id=external_id, version=current.version + 1 if current else 1, valid_from=starts_at,
        **facts,
    )  # fmt: skip
    if current:
        current.connectors.update(tariff=tariff)
        current.locations.update(tariff=tariff)
    _adopt(tariff)
    publish(TariffChanged(tariff.pk, tariff.external_id, source.pk))
    return tariff


def _adopt(tariff: Tariff) -> None:
    """Connectors that named this tariff before it came."""
    waiting = Connector.objects.filter(evse__location__source=tariff.source, tariff=None).exclude(tariff_ids=[])
    wanted = tariff.external_id.lower()
    for connector in waiting.only("pk", "tariff_ids"):
        if wanted in map(str.lower, connector.tariff_ids):
            Connector.objects.filter(pk=connector.pk).update(tariff=tariff)


@transaction.atomic
def assign_tariff(*, tariff_id: int, location_ids: Iterable[int] = (), connector_ids: Iterable[int] = ()) -> int:
    """Price whole sites, with the plugs that appear there later, and single plugs; returns how many plugs have it now.

    Only what belongs to the tariff's own source is priced.
    """
    tariff = Tariff.objects.select_related("source").get(pk=tariff_id)
    sites = Location.objects.filter(source=tariff.source, pk__in=list(location_ids))
    sites.update(tariff=tariff)
    priced = Connector.objects.filter(evse__location__source=tariff.source).filter(
        Q(evse__location__in=sites) | Q(pk__in=list(connector_ids))
    )
    return priced.update(tariff=tariff)


@transaction.atomic
def set_prices(
    *,
    source: Source,
    external_id: str,
    name: str,
    prices: Prices,
    location_ids: Iterable[int] = (),
    connector_ids: Iterable[int] = (),
    at: datetime,
    actor: User | None = None,
    actor_label: str = "",
) -> Tariff:
    """The current version of a price list of one's own chargers, at its places; the same again changes nothing."""
    currency = source.organisation.currency if source.organisation else "INR"
    tariff, is_new = cache_tariff(
        source=source, external_id=external_id, elements=elements_of(prices), currency=currency, at=at, name=name
    )
    assign_tariff(tariff_id=tariff.pk, location_ids=location_ids, connector_ids=connector_ids)
    if is_new:
        audit(
            action="tariff.set", target=tariff, actor=actor, actor_label=actor_label, organisation=source.organisation,
            after={"version": tariff.version, "elements": tariff.elements},
        )  # fmt: skip
    return tariff


@transaction.atomic
def withdraw_tariff(*, source: Source, external_id: str, at: datetime) -> bool:
    """The source dropped a tariff: no current version any more, connectors without price; history stays."""
    current = Tariff.objects.select_for_update().filter(
        source=source, external_id__lower=external_id.lower(), valid_to=None
    )
    for tariff in current:
        tariff.connectors.update(tariff=None)
        tariff.locations.update(tariff=None)
        Tariff.objects.filter(pk=tariff.pk).update(valid_to=max(at, tariff.valid_from))
        publish(TariffChanged(tariff.pk, tariff.external_id, source.pk))
        return True
    return False
