"""Two rows of one site become one, many pairs at once: the statements are as many for a hundred pairs as for one.

Every function works on locked rows, and on pairs of which no two share a site.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q

from fleetcharge.accounts.models import User
from fleetcharge.lib.events import publish
from fleetcharge.lib.rows import update_each
from stations.claims import told
from stations.events import LocationChanged
from stations.models import EVSE, Connector, ExternalRef, Location, Source
from stations.registry_models import Claim, Duplicate, StatusClaim
from stations.services import claims
from stations.services.statuses import show_best_words

Ref = ExternalRef.Kind
LOCK_NETWORKS = """
SELECT 1 FROM stations_source WHERE id IN (SELECT source_id FROM stations_location WHERE id = ANY(%s))
ORDER BY id FOR KEY SHARE
"""
MOVE_REFS = """
UPDATE stations_externalref AS r SET object_id = v.new
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS v(kind, old, new)
WHERE r.kind = v.kind AND r.object_id = v.old RETURNING r.id, v.kind, v.old
"""


@dataclass(frozen=True)
class Unit:
    """A unit with all its plugs by number, also those its source took back."""

    evse: EVSE
    plugs: list[Connector]

    def shown(self) -> list[Connector]:
        """In an order in which two units can be compared."""
        rows = (row for row in self.plugs if not row.is_removed)
        return sorted(rows, key=lambda row: (row.plug, row.max_power_w, row.pk))


Twins = Sequence[tuple[Duplicate, Unit, Unit]]
"""A pair of sites, a unit of the kept one, and the same unit as the other site has it."""


def lock_sites(location_ids: Iterable[int]) -> dict[int, Location]:
    """In everybody's order, networks before sites: no list of theirs is taken meanwhile, their pushes go on."""
    ids = sorted(location_ids)
    with connection.cursor() as cursor:
        cursor.execute(LOCK_NETWORKS, [ids])
    rows = Location.objects.select_for_update(of=("self",), no_key=True).select_related("source").order_by("pk")
    return {row.pk: row for row in rows.filter(pk__in=ids)}


def lock_units(sites: Iterable[Location]) -> dict[int, list[Unit]]:
    """The shown units of each site (primary key), in the order they came; nobody begins to charge there meanwhile."""
    by_key = {site.pk: site for site in sites}
    plugs = Connector.objects.select_for_update(of=("self",), no_key=True).order_by("pk")
    plugs_of: dict[int, list[Connector]] = defaultdict(list)
    for plug in plugs.filter(evse__location_id__in=by_key, evse__is_removed=False):
        plugs_of[plug.evse_id].append(plug)
    found: dict[int, list[Unit]] = {pk: [] for pk in by_key}
    evses = EVSE.objects.filter(location_id__in=by_key, is_removed=False).select_related("charger").order_by("pk")
    for evse in evses:
        evse.location = by_key[evse.location_id]
        for plug in plugs_of[evse.pk]:
            plug.evse = evse
        found[evse.location_id].append(Unit(evse, sorted(plugs_of[evse.pk], key=lambda row: row.connector_id)))
    return found


def merge_all(
    pairs: Sequence[Duplicate], units: dict[int, list[Unit]], *, actor: User | None, at: datetime
) -> None:  # fmt: skip
    """What the sources call each two sites leads to the kept row, the other one becomes a redirect.

    The units of the kept site stay as they are; those of the other that match gain a second source, those that match
    none are hidden with their site.
    """
    if not pairs:
        return
    twins = [
        (pair, mine, theirs) for pair in pairs for mine, theirs in _twins(units[pair.kept_id], units[pair.other_id])
    ]
    for pair in pairs:
        pair.moved = {"refs": [], "twins": [[m.evse.pk, t.evse.pk] for whose, m, t in twins if whose is pair]}
    _claim_sites(pairs, at)
    _move_refs(pairs, twins)
    _join(twins, at)
    _redirect(pairs)
    decide(pairs, Duplicate.State.MERGED, actor, at)
    lead_questions_on([pair.other_id for pair in pairs])


def decide(pairs: Sequence[Duplicate], state: str, actor: User | None, at: datetime) -> None:
    """Keep the answer, whose it is, and what was moved for it."""
    for pair in pairs:
        pair.state, pair.decided_at, pair.decided_by = state, at, actor
    update_each(pairs, ["state", "decided_at", "decided_by", "moved"])


def lead_questions_on(merged_ids: Sequence[int] | None = None) -> None:
    """Open questions about sites that became others (these, or any) are asked of those, unless that is answered.

    What is dropped here is found again by the next look, if a merge is taken back.
    """
    moved = Q(kept__merged_into__isnull=False) | Q(other__merged_into__isnull=False)
    if merged_ids is not None:
        moved &= Q(kept__in=merged_ids) | Q(other__in=merged_ids)
    rows = Duplicate.objects.select_for_update(of=("self",), no_key=True).waiting().filter(moved).order_by("pk")
    with transaction.atomic():
        waiting = list(rows.select_related("kept__merged_into", "other__merged_into"))
        shown = [(row.kept.merged_into or row.kept, row.other.merged_into or row.other) for row in waiting]
        ids = {site.pk for pair in shown for site in pair}
        asked = {
            frozenset(pair)
            for pair in Duplicate.objects.filter(kept__in=ids, other__in=ids).values_list("kept_id", "other_id")
        }
        led, moot = [], []
        for row, (kept, other) in zip(waiting, shown, strict=True):
            question = frozenset((kept.pk, other.pk))
            if kept.source_id == other.source_id or question in asked:  # also when they have become one
                moot.append(row.pk)
                continue
            asked.add(question)
            row.kept, row.other = kept, other
            led.append(row)
        update_each(led, ["kept", "other"])
        Duplicate.objects.filter(pk__in=moot).delete()


# --- sites ------------------------------------------------------------------------------------------------------
def _claim_sites(pairs: Sequence[Duplicate], at: datetime) -> None:
    """What its own source has said of a site until now; claims of further sources come along."""
    held: dict[int, dict[int | None, Claim]] = defaultdict(dict)
    ids = [pk for pair in pairs for pk in (pair.kept_id, pair.other_id)]
    for claim in Claim.objects.filter(kind=Claim.Kind.LOCATION, object_id__in=ids):
        held[claim.object_id][claim.source_id] = claim
    said: list[Claim] = []
    for pair in pairs:
        mine = held[pair.kept_id]
        for site in (pair.kept, pair.other):
            for claim in _words_of(site, held[site.pk], at):
                if _is_news(claim, mine.get(claim.source_id), site):
                    claim.pk, claim.object_id = None, pair.kept_id
                    mine[claim.source_id] = claim
                    said.append(claim)
    Claim.objects.bulk_create(
        said, update_conflicts=True, unique_fields=["kind", "object_id", "source"],
        update_fields=["values", "source_updated_at", "received_at"],
    )  # fmt: skip


def _words_of(site: Location, held: dict[int | None, Claim], at: datetime) -> list[Claim]:
    if site.is_shared:
        return list(held.values())
    values = told({name: getattr(site, name) for name in claims.SITE_FIELDS})
    return [
        Claim(kind=Claim.Kind.LOCATION, object_id=site.pk, source=site.source, values=values,
              source_updated_at=site.source_updated_at, received_at=at)
    ]  # fmt: skip


def _is_news(claim: Claim, held: Claim | None, site: Location) -> bool:
    """A claim that came along never stands in for one that is there; what a source says of its own site may."""
    if held is None or site.is_shared:
        return held is None
    new, old = claim.source_updated_at, held.source_updated_at
    return new is None or old is None or new >= old


def _redirect(pairs: Sequence[Duplicate]) -> None:
    """The kept sites as the best words have them; the others, and what led to them, lead there."""
    kept_by = {pair.other_id: pair.kept for pair in pairs}
    led = list(Location.objects.filter(merged_into__in=kept_by))
    for site in led:
        site.merged_into = kept_by[site.merged_into_id or 0]
    update_each(led, ["merged_into"])
    for pair in pairs:
        pair.kept.is_shared = True
        pair.other.is_removed, pair.other.removed_because = True, Location.Removal.MERGED
        pair.other.merged_into = pair.kept
    claims.put_sites([pair.kept for pair in pairs])
    update_each([pair.kept for pair in pairs], ["is_shared", *claims.SITE_FIELDS, "updated_at"])
    update_each([pair.other for pair in pairs], ["is_removed", "removed_because", "merged_into", "updated_at"])
    for pair in pairs:
        publish(LocationChanged(pair.kept_id))
        publish(LocationChanged(pair.other_id))


def _move_refs(pairs: Sequence[Duplicate], twins: Twins) -> None:
    moves = {(Ref.LOCATION.value, pair.other_id): (pair.kept_id, pair) for pair in pairs}
    for pair, mine, theirs in twins:
        moves[Ref.EVSE.value, theirs.evse.pk] = mine.evse.pk, pair
        for plug, twin in zip(mine.shown(), theirs.shown(), strict=True):
            moves[Ref.CONNECTOR.value, twin.pk] = plug.pk, pair
    kinds, olds = zip(*moves, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(MOVE_REFS, [list(kinds), list(olds), [new for new, _ in moves.values()]])
        for pk, kind, old in sorted(cursor.fetchall()):
            moves[kind, old][1].moved["refs"].append([pk, old])


# --- units ------------------------------------------------------------------------------------------------------
def _twins(mine: Sequence[Unit], theirs: Sequence[Unit]) -> list[tuple[Unit, Unit]]:
    """Units of both that are one: of the same name, else with the same plugs and power, each once."""
    found: list[tuple[Unit, Unit]] = []
    used: set[int] = set()
    for is_same in (_is_namesake, _is_alike):
        for other in theirs:
            free = (each for each in mine if used.isdisjoint((each.evse.pk, other.evse.pk)))
            if twin := next((each for each in free if is_same(each, other)), None):
                found.append((twin, other))
                used |= {twin.evse.pk, other.evse.pk}
    return found


def _is_namesake(one: Unit, two: Unit) -> bool:
    return bool(one.evse.uid) and _plain(one.evse.uid) == _plain(two.evse.uid) and _is_alike(one, two)


def _plain(uid: str) -> str:
    return "".join(letter for letter in uid.lower() if letter.isalnum())


def _is_alike(one: Unit, two: Unit) -> bool:
    """The same plugs, and powers that differ by a sixth at most where both are known."""
    first, second = one.shown(), two.shown()
    return len(first) == len(second) and all(
        a.plug == b.plug and (not a.max_power_w or not b.max_power_w or 6 / 7 <= a.max_power_w / b.max_power_w <= 7 / 6)
        for a, b in zip(first, second, strict=True)
    )


def _join(twins: Twins, at: datetime) -> None:
    """One unit from now on: claims of both about each plug, and the words of both about the status."""
    if not twins:
        return
    Claim.objects.bulk_create(_claims_of_plugs(twins, at), ignore_conflicts=True)
    StatusClaim.objects.bulk_create(_words_about(twins), ignore_conflicts=True)
    claims.show_plugs([plug for _, mine, _ in twins for plug in mine.shown()])
    EVSE.objects.filter(pk__in=[mine.evse.pk for _, mine, _ in twins]).update(is_shared=True)
    show_best_words([sorted(mine.plugs, key=lambda row: row.pk) for _, mine, _ in twins], at)


def _claims_of_plugs(twins: Twins, at: datetime) -> list[Claim]:
    return [
        Claim(
            kind=Claim.Kind.CONNECTOR, object_id=plug.pk, source=source, received_at=at,
            values=told({name: getattr(row, name) for name in claims.PLUG_FIELDS}),
            source_updated_at=unit.evse.source_updated_at,
        )
        for pair, mine, theirs in twins
        for plug, twin in zip(mine.shown(), theirs.shown(), strict=True)
        for row, unit, source in ((plug, mine, pair.kept.source), (twin, theirs, pair.other.source))
    ]  # fmt: skip


def _words_about(twins: Twins) -> list[StatusClaim]:
    words = (
        _word_about(mine.evse, unit, source)
        for pair, mine, theirs in twins
        for unit, source in ((mine, pair.kept.source), (theirs, pair.other.source))
    )
    return [word for word in words if word is not None]


def _word_about(evse: EVSE, told_by: Unit, source: Source) -> StatusClaim | None:
    row = next((row for row in told_by.plugs if row.heard_at), None)
    if row is None or not row.status_at or not row.heard_at:
        return None
    return StatusClaim(
        evse=evse, source=source, raw_status=row.raw_status, status=row.reported_status, status_at=row.status_at,
        heard_at=row.heard_at,
    )  # fmt: skip
