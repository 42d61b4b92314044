"""One site in two networks becomes one row: by itself when it is plain, after a person looked when it is not."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from fleetcharge.accounts.models import User
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish
from fleetcharge.lib.rows import update_each
from stations import dedupe
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, NetworkAccess, Source
from stations.registry_models import Claim, Duplicate, StatusClaim
from stations.services import claims, merging
from stations.services.statuses import locked_with_site, show_best_word

State = Duplicate.State
AT_ONCE = 100  # pairs in one transaction: their sites wait for some tenths of a second
SITES = """
SELECT l.id, l.source_id, l.name, l.address, l.postal_code,
       coalesce(p.name, CASE WHEN s.kind = 'import' THEN '' ELSE s.name END), l.latitude, l.longitude,
       coalesce(array_agg(c.plug) FILTER (WHERE c.id IS NOT NULL), '{}'),
       coalesce(array_agg(c.max_power_w) FILTER (WHERE c.id IS NOT NULL), '{}'), count(DISTINCT e.id)
FROM stations_location l JOIN stations_source s ON s.id = l.source_id
LEFT JOIN stations_party p ON p.id = l.party_id
LEFT JOIN stations_evse e ON e.location_id = l.id AND NOT e.is_removed
LEFT JOIN stations_connector c ON c.evse_id = e.id AND NOT c.is_removed
WHERE NOT l.is_removed AND l.organisation_id IS NULL
GROUP BY l.id, s.id, p.id
"""


class NotMergeable(Exception):
    """The two cannot be one now; the message says why."""


def find_duplicates(*, at: datetime) -> dict[str, int]:
    """Look over every public site: {"found": new questions, "merged": those that needed none}. May run twice."""
    found = merged = 0
    merging.lead_questions_on()
    for batch in dedupe.batches(dedupe.pairs(public_sites()), most=AT_ONCE):
        new, plain = _take(batch, at)
        found, merged = found + new, merged + plain
    return {"found": found, "merged": merged}


def public_sites() -> list[dedupe.Site]:
    """What is compared; a fleet's own depot is nobody's duplicate. One query, none where one source has them all."""
    sources = Location.objects.filter(is_removed=False, organisation=None).values("source").distinct()
    if sources.count() < 2:
        return []
    with connection.cursor() as cursor:
        cursor.execute(SITES)
        return [_site(*row) for row in cursor.fetchall()]


def _site(
    pk: int, source_id: int, name: str, address: str, postal_code: str, operator: str, latitude: float,
    longitude: float, kinds: list[str], watts: list[int], units: int,
) -> dedupe.Site:  # fmt: skip
    plugs = tuple(zip(kinds, watts, strict=True))
    return dedupe.Site(pk, source_id, name, address, postal_code, operator, latitude, longitude, plugs, units)


@again_after_deadlock  # pushes that take a unit down lock its plugs before its site
@transaction.atomic
def _take(pairs: Sequence[dedupe.Pair], at: datetime) -> tuple[int, int]:
    """Keep the questions of one batch and merge what needs none: (new questions, merged), in some thirty statements."""
    sites = merging.lock_sites({site.pk for pair in pairs for site in (pair.one, pair.two)})
    pairs = [pair for pair in pairs if _sites_of(pair) <= sites.keys()]
    asked = _asked(sites)
    rows = [asked.get(_sites_of(pair)) or Duplicate(found_at=at) for pair in pairs]
    before = [_question(row) for row in rows]
    for row, pair in zip(rows, pairs, strict=True):
        if row.state == State.WAITING:
            row.kept, row.other = sorted((sites[pair.one.pk], sites[pair.two.pk]), key=_rank, reverse=True)
            row.score = pair.score
    plain = [row for row in rows if row.state == State.WAITING and row.score > dedupe.MERGE_FROM and _is_shown(row)]
    units = merging.lock_units(site for row in plain for site in (row.kept, row.other))
    against = _against(rows)
    for row, pair in zip(rows, pairs, strict=True):
        if row.state == State.WAITING:
            row.why = {"factors": pair.factors, "against": against.get(row.other_id, "")}
    new = Duplicate.objects.bulk_create(row for row in rows if row.pk is None)
    changed = [row for row, was in zip(rows, before, strict=True) if was[0] is not None and was != _question(row)]
    update_each(changed, ["kept", "other", "score", "why"])
    merged = [row for row in plain if not row.why["against"]]
    merging.merge_all(merged, units, actor=None, at=at)
    return len(new), len(merged)


def _asked(sites: dict[int, Location]) -> dict[frozenset[int], Duplicate]:
    """What is known of any two of these sites."""
    rows = Duplicate.objects.select_for_update(no_key=True).filter(kept__in=sites, other__in=sites).order_by("pk")
    return {frozenset((row.kept_id, row.other_id)): row for row in rows}


def _sites_of(pair: dedupe.Pair) -> frozenset[int]:
    return frozenset((pair.one.pk, pair.two.pk))


def _question(row: Duplicate) -> tuple[Any, ...]:
    return row.pk, row.kept_id, row.other_id, row.score, row.why


def _rank(location: Location) -> tuple[bool, int, int]:
    """Who keeps the site: where one can charge over a list of places, then trust, then who came first."""
    return location.source.kind != Source.Kind.IMPORT, location.source.trust, -location.pk


def _is_shown(pair: Duplicate) -> bool:
    return not (pair.kept.is_removed or pair.other.is_removed)


def _against(pairs: Iterable[Duplicate]) -> dict[int, str]:
    """Why a person has to decide, or nobody can, by the other site (primary key); nothing where it may be merged.

    Two queries. Nobody charges at a site with locked units after this looked.
    """
    waiting = [pair for pair in pairs if pair.state == State.WAITING]
    sources = {site.source_id for pair in waiting for site in (pair.kept, pair.other)}
    fleets: dict[int, set[int]] = defaultdict(set)
    for source_id, fleet in NetworkAccess.objects.filter(source__in=sources).values_list(
        "source_id", "organisation_id"
    ):
        fleets[source_id].add(fleet)
    in_use = Connector.objects.filter(Q(has_session=True) | Q(is_held=True))
    busy = set(
        in_use.filter(evse__location__in=[pair.other_id for pair in waiting]).values_list("evse__location", flat=True)
    )
    found = {}
    for pair in waiting:
        kept, other = pair.kept, pair.other
        lost = fleets[other.source_id] - fleets[kept.source_id]
        if other.source.kind != Source.Kind.IMPORT and lost:
            found[other.pk] = f"{len(lost)} of the fleets that may charge at {other.source} may not at {kept.source}"
        elif other.pk in busy:
            found[other.pk] = f"somebody charges at {other} just now, or has reserved there"
    return found


def _locked(duplicate_id: int) -> Duplicate:
    """A pair with its sites, locked in the order in which batches lock them."""
    ids = Duplicate.objects.values_list("kept_id", "other_id").get(pk=duplicate_id)
    sites = merging.lock_sites(ids)
    pair = Duplicate.objects.select_for_update(no_key=True).get(pk=duplicate_id)
    pair.kept, pair.other = sites[pair.kept_id], sites[pair.other_id]
    return pair


@again_after_deadlock
@transaction.atomic
def merge(*, duplicate_id: int, actor: User | None, at: datetime) -> bool:
    """Make two rows one: see `merging.merge_all`. Raises NotMergeable; False when it was done before."""
    pair = _locked(duplicate_id)
    if pair.state == State.MERGED:
        return False
    if not _is_shown(pair):
        if actor is None:
            return False
        raise NotMergeable("One of the two sites is not shown any more.")
    units = merging.lock_units((pair.kept, pair.other))
    if against := _against([pair]):
        raise NotMergeable(against[pair.other_id])
    merging.merge_all([pair], units, actor=actor, at=at)
    return True


@again_after_deadlock
@transaction.atomic
def keep_apart(*, duplicate_id: int, actor: User | None, at: datetime) -> bool:
    """They are two sites; nobody asks again. What a merge moved is put back. False when that was known."""
    duplicate = _locked(duplicate_id)
    if duplicate.state == State.DIFFERENT:
        return False
    if duplicate.state == State.MERGED:
        _split(duplicate, at)
    duplicate.moved = {}
    merging.decide([duplicate], State.DIFFERENT, actor, at)
    return True


def _split(duplicate: Duplicate, at: datetime) -> None:
    kept, other = duplicate.kept, duplicate.other
    merging.lock_units((kept, other))  # before a key leads elsewhere: a push looks where, once it has the plugs
    sources = _sources_behind(duplicate.moved["refs"])
    for ref_id, object_id in duplicate.moved["refs"]:
        ExternalRef.objects.filter(pk=ref_id).update(object_id=object_id)
    for source in sources | {other.source}:
        if source != kept.source:
            claims.forget(location=kept, source=source)
    claims.show_site(kept)
    for evse_id, _ in duplicate.moved["twins"]:
        _of_one_source_again(evse_id, at)
    if not Claim.objects.filter(kind=Claim.Kind.LOCATION, object_id=kept.pk).exclude(source=kept.source).exists():
        Claim.objects.filter(kind=Claim.Kind.LOCATION, object_id=kept.pk).delete()
        Location.objects.filter(pk=kept.pk).update(is_shared=False)
    other.is_removed, other.removed_because, other.merged_into = False, "", None
    other.save(update_fields=["is_removed", "removed_because", "merged_into", "updated_at"])
    publish(LocationChanged(other.pk))


def _sources_behind(refs: Iterable[list[int]]) -> set[Source]:
    return set(Source.objects.filter(refs__in=[pk for pk, _ in refs]))


def _of_one_source_again(evse_id: int, at: datetime) -> None:
    rows = list(locked_with_site(evse_id=evse_id))
    claims.show_plugs(rows)
    show_best_word(rows, at)
    if StatusClaim.objects.filter(evse_id=evse_id).count() <= 1:
        StatusClaim.objects.filter(evse_id=evse_id).delete()
        Claim.objects.filter(kind=Claim.Kind.CONNECTOR, object_id__in=[plug.pk for plug in rows]).delete()
        EVSE.objects.filter(pk=evse_id).update(is_shared=False)
