"""One site in two networks becomes one row: by itself when it is plain, after a person looked when it is not."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from fleetcharge.accounts.models import User
from fleetcharge.lib.events import publish
from stations import dedupe
from stations.claims import told
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, NetworkAccess, Source
from stations.registry_models import Claim, Duplicate, StatusClaim
from stations.services import claims
from stations.services.statuses import locked_with_site, show_best_word

State = Duplicate.State
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
    for pair in dedupe.pairs(public_sites()):
        duplicate, is_new = _keep_pair(pair, at)
        found += is_new
        if duplicate.state == State.WAITING and duplicate.score > dedupe.MERGE_FROM and not duplicate.why["against"]:
            merged += merge(duplicate_id=duplicate.pk, actor=None, at=at)
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


def _keep_pair(pair: dedupe.Pair, at: datetime) -> tuple[Duplicate, bool]:
    rows = {row.pk: row for row in Location.objects.select_related("source").filter(pk__in=(pair.one.pk, pair.two.pk))}
    kept, other = sorted(rows.values(), key=_rank, reverse=True)
    before = Duplicate.objects.filter(Q(kept=kept, other=other) | Q(kept=other, other=kept)).first()
    why = {"factors": pair.factors, "against": _against(kept, other)}
    if before is None:
        return Duplicate.objects.create(kept=kept, other=other, score=pair.score, why=why, found_at=at), True
    if before.state == State.WAITING:
        before.kept, before.other, before.score, before.why = kept, other, pair.score, why
        before.save(update_fields=["kept", "other", "score", "why"])
    return before, False


def _rank(location: Location) -> tuple[bool, int, int]:
    """Who keeps the site: where one can charge over a list of places, then trust, then who came first."""
    return location.source.kind != Source.Kind.IMPORT, location.source.trust, -location.pk


def _against(kept: Location, other: Location) -> str:
    """Why a person has to decide, or nobody can; '' when nothing stands against it."""
    if other.source.kind != Source.Kind.IMPORT and (lost := _losing_access(kept, other)):
        return f"{lost} of the fleets that may charge at {other.source} may not at {kept.source}"
    busy = Connector.objects.filter(evse__location=other).filter(Q(has_session=True) | Q(is_held=True))
    return f"somebody charges at {other} just now, or has reserved there" if busy.exists() else ""


def _losing_access(kept: Location, other: Location) -> int:
    access = NetworkAccess.objects.values_list("organisation_id", flat=True)
    return len(set(access.filter(source=other.source)) - set(access.filter(source=kept.source)))


@transaction.atomic
def merge(*, duplicate_id: int, actor: User | None, at: datetime) -> bool:
    """Make two rows one: what the sources call them leads to the kept row, the other one becomes a redirect.

    Raises NotMergeable. The units of the kept site stay as they are; those of the other that match gain a second
    source, those that match none are hidden with their site. False when it was done before.
    """
    duplicate = Duplicate.objects.select_for_update().get(pk=duplicate_id)
    if duplicate.state == State.MERGED:
        return False
    rows = Location.objects.select_for_update().select_related("source").order_by("pk")
    pair = {row.pk: row for row in rows.filter(pk__in=(duplicate.kept_id, duplicate.other_id))}
    kept, other = pair[duplicate.kept_id], pair[duplicate.other_id]
    if kept.is_removed or other.is_removed:
        if actor is None:
            return False
        raise NotMergeable("One of the two sites is not shown any more.")
    if against := _against(kept, other):
        raise NotMergeable(against)
    moved: dict[str, list[list[int]]] = {"refs": [], "twins": []}
    for site in (kept, other):
        _claim_site(site, kept.pk, at)
    _move_refs(ExternalRef.Kind.LOCATION, other.pk, kept.pk, moved)
    for mine, theirs in _twins(kept, other):
        _join(mine, theirs, other.source, moved, at)
    Location.objects.filter(merged_into=other).update(merged_into=kept)
    other.is_removed, other.removed_because, other.merged_into = True, Location.Removal.MERGED, kept
    other.save(update_fields=["is_removed", "removed_because", "merged_into", "updated_at"])
    kept.is_shared = True
    claims.show_site(kept)
    publish(LocationChanged(other.pk))
    _decide(duplicate, State.MERGED, actor, at, moved)
    return True


def _decide(duplicate: Duplicate, state: str, actor: User | None, at: datetime, moved: dict[str, Any]) -> None:
    duplicate.state, duplicate.decided_at, duplicate.decided_by, duplicate.moved = state, at, actor, moved
    duplicate.save(update_fields=["state", "decided_at", "decided_by", "moved"])


def _claim_site(site: Location, kept_id: int, at: datetime) -> None:
    """What its own source has said of a site until now; claims of further sources come along."""
    if not site.is_shared:
        said = {name: getattr(site, name) for name in claims.SITE_FIELDS}
        claims.keep(
            kind=Claim.Kind.LOCATION, object_id=kept_id, source=site.source, said=said,
            source_at=site.source_updated_at, at=at,
        )  # fmt: skip
    elif site.pk != kept_id:
        for claim in Claim.objects.filter(kind=Claim.Kind.LOCATION, object_id=site.pk):
            is_new = not Claim.objects.filter(kind=claim.kind, object_id=kept_id, source=claim.source).exists()
            if is_new:
                claim.pk, claim.object_id = None, kept_id
                claim.save(force_insert=True)


def _move_refs(kind: str, old: int, new: int, moved: dict[str, list[list[int]]]) -> None:
    refs = ExternalRef.objects.filter(kind=kind, object_id=old)
    moved["refs"] += [[pk, old] for pk in refs.values_list("pk", flat=True)]
    refs.update(object_id=new)


def _twins(kept: Location, other: Location) -> list[tuple[EVSE, EVSE]]:
    """Units of both that are one: of the same name, else with the same plugs and power, each once."""
    mine, theirs = _units_of(kept), _units_of(other)
    found = [(a, b) for a in mine for b in theirs if a.uid and _plain(a.uid) == _plain(b.uid) and _alike(a, b)]
    used = {unit.pk for pair in found for unit in pair}
    for unit in theirs:
        twin = next((each for each in mine if {each.pk, unit.pk}.isdisjoint(used) and _alike(each, unit)), None)
        if twin:
            found.append((twin, unit))
            used |= {twin.pk, unit.pk}
    return found


def _units_of(location: Location) -> list[EVSE]:
    units = location.evses.filter(is_removed=False).prefetch_related("connectors").order_by("pk")
    for unit in units:
        unit.location = location
    return list(units)


def _plain(uid: str) -> str:
    return "".join(letter for letter in uid.lower() if letter.isalnum())


def _plugs_of(evse: EVSE) -> list[Connector]:
    shown = (row for row in evse.connectors.all() if not row.is_removed)
    return sorted(shown, key=lambda row: (row.plug, row.max_power_w, row.pk))


def _alike(one: EVSE, two: EVSE) -> bool:
    """The same plugs, and powers that differ by a sixth at most where both are known."""
    first, second = _plugs_of(one), _plugs_of(two)
    return len(first) == len(second) and all(
        a.plug == b.plug and (not a.max_power_w or not b.max_power_w or 6 / 7 <= a.max_power_w / b.max_power_w <= 7 / 6)
        for a, b in zip(first, second, strict=True)
    )


def _join(mine: EVSE, theirs: EVSE, source: Source, moved: dict[str, list[list[int]]], at: datetime) -> None:
    """One unit from now on: claims of both about each plug, and the words of both about the status."""
    moved["twins"].append([mine.pk, theirs.pk])
    _move_refs(ExternalRef.Kind.EVSE, theirs.pk, mine.pk, moved)
    for plug, twin in zip(_plugs_of(mine), _plugs_of(theirs), strict=True):
        _move_refs(ExternalRef.Kind.CONNECTOR, twin.pk, plug.pk, moved)
        _claim_plug(plug, plug, mine.location.source, mine.source_updated_at, at)
        _claim_plug(plug, twin, source, theirs.source_updated_at, at)
        claims.show_plug(plug)
    for unit, whose in ((mine, mine.location.source), (theirs, source)):
        _claim_status(mine, unit, whose)
    EVSE.objects.filter(pk=mine.pk).update(is_shared=True)
    if rows := list(locked_with_site(evse=mine)):
        show_best_word(rows, at)


def _claim_plug(plug: Connector, told_by: Connector, source: Source, said_at: datetime | None, at: datetime) -> None:
    if not Claim.objects.filter(kind=Claim.Kind.CONNECTOR, object_id=plug.pk, source=source).exists():
        said = told({name: getattr(told_by, name) for name in claims.PLUG_FIELDS})
        claims.keep(
            kind=Claim.Kind.CONNECTOR, object_id=plug.pk, source=source, said=said, source_at=said_at, at=at
        )  # fmt: skip


def _claim_status(evse: EVSE, told_by: EVSE, source: Source) -> None:
    word = next((row for row in told_by.connectors.all() if row.heard_at), None)
    if word is not None and word.status_at and word.heard_at:
        StatusClaim.objects.get_or_create(evse=evse, source=source, defaults={
            "raw_status": word.raw_status, "status": word.reported_status, "status_at": word.status_at,
            "heard_at": word.heard_at,
        })  # fmt: skip


@transaction.atomic
def keep_apart(*, duplicate_id: int, actor: User | None, at: datetime) -> bool:
    """They are two sites; nobody asks again. What a merge moved is put back. False when that was known."""
    duplicate = Duplicate.objects.select_for_update().get(pk=duplicate_id)
    if duplicate.state == State.DIFFERENT:
        return False
    if duplicate.state == State.MERGED:
        _split(duplicate, at)
    _decide(duplicate, State.DIFFERENT, actor, at, {})
    return True


def _split(duplicate: Duplicate, at: datetime) -> None:
    rows = Location.objects.select_for_update().select_related("source").order_by("pk")
    pair = {row.pk: row for row in rows.filter(pk__in=(duplicate.kept_id, duplicate.other_id))}
    kept, other = pair[duplicate.kept_id], pair[duplicate.other_id]
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
    for plug in rows:
        claims.show_plug(plug)
    show_best_word(rows, at)
    if StatusClaim.objects.filter(evse_id=evse_id).count() <= 1:
        StatusClaim.objects.filter(evse_id=evse_id).delete()
        Claim.objects.filter(kind=Claim.Kind.CONNECTOR, object_id__in=[plug.pk for plug in rows]).delete()
        EVSE.objects.filter(pk=evse_id).update(is_shared=False)
