"""What other sources, and people, say of a site or plug that has a source of its own already."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from fleetcharge.lib.events import publish
from fleetcharge.lib.rows import update_each
from stations.belief import pushed_since
from stations.claims import TRUST_OF_A_PERSON, Verdict, Word, told, winners
from stations.cpo.documents import ConnectorDoc, EvseDoc, LocationDoc
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, Source
from stations.ordering import believed, is_older
from stations.registry_models import Claim, StatusClaim
from stations.services.statuses import locked_with_site, report_from_source, show_best_word, show_best_words

SITE_FIELDS = (
    "name", "address", "city", "state", "postal_code", "country_code", "latitude", "longitude", "opening_times",
)  # fmt: skip
PLUG_FIELDS = ("plug", "raw_plug", "format", "power_type", "max_power_w", "max_voltage_v", "max_current_a")
Kind = Claim.Kind
FIELDS = {Kind.LOCATION: SITE_FIELDS, Kind.CONNECTOR: PLUG_FIELDS}
A_PERSON = "a person"
WEIGHED_AT_ONCE = 500


def verdicts_of(kind: str, object_id: int) -> dict[str, Verdict]:
    """Field by field, what is shown and why; empty for a row that only its own source speaks of. One query."""
    return verdicts_of_many(kind, [object_id]).get(object_id, {})


def verdicts_of_many(kind: str, object_ids: Iterable[int]) -> dict[int, dict[str, Verdict]]:
    """The same by primary key, without the rows nobody claims anything of. One query."""
    words: dict[int, list[Word]] = defaultdict(list)
    for claim in Claim.objects.filter(kind=kind, object_id__in=list(object_ids)).select_related("source"):
        words[claim.object_id].append(_word(claim))
    return {pk: winners(said, FIELDS[Kind(kind)]) for pk, said in words.items()}


def _word(claim: Claim) -> Word:
    said_at = believed(claim.source_updated_at or claim.received_at, claim.received_at)
    if claim.source is None:
        return Word(A_PERSON, TRUST_OF_A_PERSON, said_at, claim.values)
    return Word(claim.source.name, claim.source.trust, said_at, claim.values)


def keep(
    *, kind: str, object_id: int, source: Source | None, said: dict[str, Any], source_at: datetime | None, at: datetime
) -> bool:
    """Replace what one source says; False when we hold something newer of it."""
    held = Claim.objects.filter(kind=kind, object_id=object_id, source=source).first()
    if held and is_older(source_at, held.source_updated_at, at):
        return False
    Claim.objects.update_or_create(
        kind=kind, object_id=object_id, source=source,
        defaults={"values": told(said), "source_updated_at": source_at, "received_at": at},
    )  # fmt: skip
    return True


def settle_site(
    *, location: Location, source: Source, said: dict[str, Any], source_at: datetime | None, at: datetime
) -> dict[str, Any]:
    """The values to show once `source` has said this of the site."""
    keep(kind=Kind.LOCATION, object_id=location.pk, source=source, said=said, source_at=source_at, at=at)
    return said | {name: verdict.value for name, verdict in verdicts_of(Kind.LOCATION, location.pk).items()}


def settle_plug(
    *, connector: Connector, source: Source, said: dict[str, Any], source_at: datetime | None, at: datetime
) -> dict[str, Any]:
    keep(kind=Kind.CONNECTOR, object_id=connector.pk, source=source, said=said, source_at=source_at, at=at)
    return said | {name: verdict.value for name, verdict in verdicts_of(Kind.CONNECTOR, connector.pk).items()}


def show_site(location: Location) -> None:
    """Write the winners of all claims into the row; what nobody says is empty."""
    put_sites([location])
    location.save()
    publish(LocationChanged(location.pk))


def put_sites(locations: Sequence[Location]) -> None:
    """The winners of all claims onto the rows, not saved; what nobody says is empty. One query."""
    verdicts = verdicts_of_many(Kind.LOCATION, [location.pk for location in locations])
    for location in locations:
        for name in ("address", "city", "state", "postal_code"):
            setattr(location, name, "")
        for name, verdict in verdicts.get(location.pk, {}).items():
            setattr(location, name, verdict.value)


def show_plugs(connectors: Iterable[Connector]) -> None:
    """Write the winners of all claims into these rows, which are locked. Two queries."""
    rows = list(connectors)
    verdicts = verdicts_of_many(Kind.CONNECTOR, [connector.pk for connector in rows])
    claimed = [connector for connector in rows if connector.pk in verdicts]
    for connector in claimed:
        for name, verdict in verdicts[connector.pk].items():
            setattr(connector, name, verdict.value)
    update_each(claimed, PLUG_FIELDS)


# --- another source ---------------------------------------------------------------------------------------------
@transaction.atomic
def take_second_opinion(
    *, location: Location, source: Source, doc: LocationDoc, at: datetime, names_units: bool = True
) -> bool:
    """A source that the site does not belong to describes it. It adds claims, but no units: those are the owner's.

    `names_units`: what it said of units that the document leaves out counts no more.
    """
    said = {name: getattr(doc, name) for name in SITE_FIELDS}
    refs = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.LOCATION, object_id=location.pk)
    refs.update(last_seen_at=at, missed_syncs=0)
    is_news = keep(
        kind=Kind.LOCATION, object_id=location.pk, source=source, said=said, source_at=doc.updated_at, at=at
    )  # fmt: skip
    if is_news:
        show_site(location)
    for unit in doc.evses:
        key = f"{doc.external_key}*{unit.uid}"
        if evse := _known(source, ExternalRef.Kind.EVSE, key, EVSE):
            take_second_opinion_of_evse(evse=evse, source=source, doc=unit, key=key, at=at)
    if is_news and names_units:
        _forget_units(_unnamed(location, source, doc), source=source, at=at)
    return is_news


def _unnamed(location: Location, source: Source, doc: LocationDoc) -> set[int]:
    """EVSEs (primary keys) that the source knew under this site of its own, and that its document leaves out."""
    site = f"{doc.external_key}*".lower()
    named = {f"{site}{unit.uid}".lower() for unit in doc.evses}
    units = location.evses.values("pk")
    refs = ExternalRef.objects.filter(source=source, kind=ExternalRef.Kind.EVSE, object_id__in=units)
    known = [(pk, key.lower()) for pk, key in refs.values_list("object_id", "external_key")]
    return {pk for pk, _ in known} - {pk for pk, key in known if key in named or not key.startswith(site)}


def _forget_units(evse_ids: Iterable[int], *, source: Source, at: datetime) -> None:
    units: dict[int, list[Connector]] = defaultdict(list)
    for connector in locked_with_site(evse__in=list(evse_ids), evse__is_shared=True):
        units[connector.evse_id].append(connector)
    plugs = [connector for rows in units.values() for connector in rows]
    said, _ = Claim.objects.filter(
        source=source, kind=Kind.CONNECTOR, object_id__in=[connector.pk for connector in plugs]
    ).delete()
    words, _ = StatusClaim.objects.filter(source=source, evse__in=units).delete()
    if said:
        show_plugs(plugs)
    if words:
        show_best_words(units.values(), at)


@transaction.atomic
def take_second_opinion_of_evse(*, evse: EVSE, source: Source, doc: EvseDoc, key: str, at: datetime) -> None:
    for plug in doc.connectors:
        take_second_opinion_of_plug(
            source=source, doc=plug, key=f"{key}*{plug.external_id}", updated_at=doc.updated_at, at=at
        )
    if doc.raw_status:
        report_from_source(
            evse_id=evse.pk, raw_status=doc.raw_status, status=doc.status, at=doc.updated_at or at, received_at=at,
            source_id=source.pk,
        )  # fmt: skip


@transaction.atomic
def take_second_opinion_of_plug(
    *, source: Source, doc: ConnectorDoc, key: str, updated_at: datetime | None, at: datetime
) -> bool:
    connector = _known(source, ExternalRef.Kind.CONNECTOR, key, Connector)
    if connector is None:
        return False
    said = {name: getattr(doc, name) for name in PLUG_FIELDS}
    is_news = keep(
        kind=Kind.CONNECTOR, object_id=connector.pk, source=source, said=said, source_at=updated_at, at=at
    )  # fmt: skip
    if is_news:
        show_plugs(Connector.objects.select_for_update().filter(pk=connector.pk))
    return is_news


@transaction.atomic
def withdraw(*, location: Location, source: Source, at: datetime) -> bool:
    """A source that is not the owner no longer speaks of the site: what it said counts no more."""
    forget(location=location, source=source)
    show_site(location)
    for evse in location.evses.filter(is_shared=True):
        if connectors := list(locked_with_site(evse=evse)):
            show_best_word(connectors, at)
    return True


def forget(*, location: Location, source: Source) -> None:
    """Drop every claim of one source about a site, its plugs and its status."""
    plugs = Connector.objects.filter(evse__location=location).values("pk")
    Claim.objects.filter(source=source, kind=Kind.LOCATION, object_id=location.pk).delete()
    Claim.objects.filter(source=source, kind=Kind.CONNECTOR, object_id__in=plugs).delete()
    StatusClaim.objects.filter(source=source, evse__location=location).delete()


def _known(source: Source, kind: str, key: str, model: Any) -> Any:
    ref = ExternalRef.objects.filter(source=source, kind=kind, external_key__lower=key.lower()).first()
    return model.objects.filter(pk=ref.object_id).first() if ref else None


def weigh_again(*, source_id: int, at: datetime) -> None:
    """Its words were confirmed: they are shown where the word that is shown has grown old meanwhile.

    Only those that can win: what is no word, or not confirmed, would stand before them for ever.
    """
    live_since = at - timedelta(seconds=settings.STATUS_LIVE_SECONDS)
    trust = Source.objects.filter(pk=source_id).values("trust")
    pushed = Source.objects.filter(last_push_at__gt=pushed_since(at), trust__gt=trust)
    pushed = pushed.exclude(state=Source.State.FAILING)
    old = StatusClaim.objects.filter(is_shown=True, heard_at__lt=live_since).exclude(source=source_id)
    old = old.exclude(~Q(status=Connector.Status.UNKNOWN), source__in=pushed)  # live all the same
    mine = StatusClaim.objects.filter(
        source=source_id, is_shown=False, heard_at__gte=live_since, evse__in=old.values("evse")
    ).exclude(status=Connector.Status.UNKNOWN)
    evse_ids = list(mine.order_by("evse").values_list("evse", flat=True)[:WEIGHED_AT_ONCE])
    units: dict[int, list[Connector]] = defaultdict(list)
    for connector in locked_with_site(evse__in=evse_ids) if evse_ids else ():
        units[connector.evse_id].append(connector)
    show_best_words(units.values(), at)


# --- people -----------------------------------------------------------------------------------------------------
@transaction.atomic
def say_by_hand(*, location: Location, fields: Iterable[str]) -> None:
    """A person corrected these fields of a site: no poll takes that back. An emptied field is the source's again."""
    own = {name: getattr(location, name) for name in SITE_FIELDS}
    before = Claim.objects.filter(kind=Kind.LOCATION, object_id=location.pk)
    if not before.filter(source=location.source).exists():
        held = Location.objects.get(pk=location.pk)
        said = {name: getattr(held, name) for name in SITE_FIELDS}
        keep(
            kind=Kind.LOCATION, object_id=location.pk, source=location.source, said=said,
            source_at=location.source_updated_at, at=timezone.now(),
        )  # fmt: skip
    hand = before.filter(source=None).first()
    said = {**(hand.values if hand else {}), **{name: own[name] for name in fields if name in own}}
    keep(kind=Kind.LOCATION, object_id=location.pk, source=None, said=said, source_at=None, at=timezone.now())
    location.is_shared = True
    show_site(location)
