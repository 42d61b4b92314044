"""Sessions and corrections as documents want them: of many fleets in a few queries, without a model for each row."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from billing.gst.numbering import INDIA, day_in_india
from billing.invoicing.grouping import Priced, corrected_lines, priced_lines
from billing.invoicing.models import BilledItem
from billing.invoicing.services import collecting
from billing.models import CDR, CDRAdjustment
from billing.reconciliation import deciding
from stations.models import Connector, Source
from vehicles.models import Vehicle


class Row(NamedTuple):
    """Of a record only what a document needs, never the evidence."""

    pk: int
    organisation_id: int
    started_at: datetime
    ended_at: datetime
    energy_wh: int
    taxable_paise: int | None
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    explanation: list[dict[str, Any]]
    transaction_ref: str
    id_token_uid: str
    source_id: int
    connector_id: int
    vehicle_id: int | None
    verdict: str | None
    points: int | None
    outcome: str | None


FIELDS = (
    "pk", "organisation_id", "started_at", "ended_at", "energy_wh", "taxable_paise", "cgst_paise", "sgst_paise",
    "igst_paise", "explanation", "session__transaction_ref", "session__id_token_uid", "session__source_id",
    "session__connector_id", "session__vehicle_id", "session__verdict__verdict", "session__verdict__points",
    "session__verdict__outcome",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where and over whom; the network is '' for a charger of our own."""

    is_own: bool
    network_slug: str
    network: str
    site: str
    state: str


@dataclass(frozen=True, slots=True)
class Plate:
    pk: int
    registration: str
    cost_centre: str


@dataclass(frozen=True, slots=True)
class Item:
    """A session or a correction of one: its priced lines, what was booked for it, and what its annexure says."""

    cdr_id: int
    adjustment_id: int | None
    place: Place
    vehicle: Plate | None
    lines: list[Priced]
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    on: date
    """The day on which the session began: its rate is on all corrections, too."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def tax_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.tax_paise

    @property
    def network_slug(self) -> str:
        return self.place.network_slug

    @property
    def site(self) -> str:
        return self.place.site

    @property
    def network(self) -> str:
        return self.place.network


def items_of(organisation_ids: Collection[int], *, before: datetime) -> dict[int, list[Item]]:
    """For invoices, by fleet, oldest first; with the corrections that are known by now."""
    judged = collecting.unbilled(before=before).filter(
        organisation__in=organisation_ids, session__reconciled_at__isnull=False
    )
    found: dict[int, list[Item]] = {}
    for row, items in _gathered(judged, without=_held):
        found.setdefault(row.organisation_id, []).extend(items)
    return found


def late_corrections(organisation_ids: Collection[int]) -> dict[int, list[Item]]:
    """By fleet, of sessions that stand on an issued document: they want a note of their own."""
    billed = BilledItem.objects.filter(cdr=OuterRef("cdr"), adjustment=None)
    late = CDRAdjustment.objects.filter(
        Exists(billed), cdr__organisation__in=organisation_ids, billed_item=None
    ).values_list("pk", "cdr")  # fmt: skip
    wanted = dict(late)
    found: dict[int, list[Item]] = {}
    if wanted:
        for row, items in _gathered(CDR.objects.filter(pk__in=set(wanted.values()))):
            found.setdefault(row.organisation_id, []).extend(item for item in items if item.adjustment_id in wanted)
    return found


def _held(rows: list[Row]) -> set[int]:
    """`collecting.held` decides; it is only asked about those whose verdict, or a person's decision, may hold them."""
    doubtful = [row.pk for row in rows if row.verdict in deciding.HELD or row.outcome in deciding.KEPT_OFF]
    return set(collecting.held(CDR.objects.filter(pk__in=doubtful)).values_list("pk", flat=True)) if doubtful else set()


def _gathered(
    cdrs: QuerySet[CDR], without: Any = lambda rows: frozenset()
) -> Iterator[tuple[Row, list[Item]]]:  # fmt: skip
    """Each record with its items: itself, then its corrections."""
    rows = [Row._make(values) for values in cdrs.order_by("ended_at", "pk").values_list(*FIELDS)]
    left_out = without(rows)
    rows = [row for row in rows if row.pk not in left_out]
    places = _places({(row.source_id, row.connector_id) for row in rows})
    plates = _plates({row.vehicle_id for row in rows if row.vehicle_id is not None})
    corrections = _corrections_of([row.pk for row in rows])
    for row in rows:
        place, plate = places[row.source_id, row.connector_id], plates.get(row.vehicle_id or 0)
        first = priced_lines(row.explanation, row.taxable_paise or 0)
        heads = (row.taxable_paise or 0, row.cgst_paise, row.sgst_paise, row.igst_paise)
        facts = _facts(row, row, "session", heads, place, plate)
        items = [Item(row.pk, None, place, plate, first, *heads, day_in_india(row.started_at), facts)]
        if row.pk in corrections:
            items += _corrections(row, first, corrections[row.pk], place, plate)
        yield row, items


def _corrections(
    row: Row, first: list[Priced], adjustments: Iterable[CDRAdjustment], place: Place, plate: Plate | None
) -> Iterator[Item]:
    states: list[tuple[Any, list[Priced]]] = [(row, first)]
    in_force = row.taxable_paise or 0
    for adjustment in adjustments:
        in_force += adjustment.taxable_paise
        states.append((adjustment, priced_lines(adjustment.explanation, in_force)))
    for (_, before), (new, after) in pairwise(states):
        lines = corrected_lines(before, after, new.taxable_paise)
        heads = (new.taxable_paise, new.cgst_paise, new.sgst_paise, new.igst_paise)
        facts = _facts(row, new, f"correction {new.number}", heads, place, plate)
        yield Item(row.pk, new.pk, place, plate, lines, *heads, day_in_india(row.started_at), facts)


def _corrections_of(cdr_ids: list[int]) -> Mapping[int, list[CDRAdjustment]]:
    found: dict[int, list[CDRAdjustment]] = {}
    rows = CDRAdjustment.objects.extra(where=["cdr_id = ANY(%s)"], params=[cdr_ids])  # one value, not thousands
    for adjustment in rows.order_by("cdr", "number"):
        found.setdefault(adjustment.cdr_id, []).append(adjustment)
    return found


def _places(keys: set[tuple[int, int]]) -> dict[tuple[int, int], Place]:
    sources = Source.objects.in_bulk({source for source, _ in keys})
    sites = {
        pk: (name, state)
        for pk, name, state in Connector.objects.filter(pk__in={connector for _, connector in keys}).values_list(
            "pk", "evse__location__name", "evse__location__state"
        )
    }
    return {(source, connector): _place(sources[source], *sites[connector]) for source, connector in keys}


def _place(source: Source, site: str, state: str) -> Place:
    is_own = source.kind == Source.Kind.OWN_OCPP
    return Place(is_own, "" if is_own else source.slug, "" if is_own else source.name, site, state)


def _plates(ids: set[int]) -> dict[int, Plate]:
    rows = Vehicle.objects.filter(pk__in=ids).values_list("pk", "registration", "cost_centre")
    return {pk: Plate(pk, registration, centre) for pk, registration, centre in rows}


def _facts(
    row: Row, shown: Any, kind: str, heads: tuple[int, int, int, int], place: Place, plate: Plate | None
) -> dict[str, Any]:
    """The row of the annexure: plain text and numbers, so that it gives the same bytes for ever."""
    minutes = (shown.ended_at - shown.started_at).total_seconds() / 60
    return {
        "record": row.pk,
        "kind": kind,
        "transaction": row.transaction_ref,
        "vehicle": plate.registration if plate else row.id_token_uid,
        "cost_centre": plate.cost_centre if plate else "",
        "site": place.site,
        "network": place.network,
        "started_at": shown.started_at.astimezone(INDIA).isoformat(timespec="seconds"),
        "ended_at": shown.ended_at.astimezone(INDIA).isoformat(timespec="seconds"),
        "minutes": f"{minutes:.0f}",
        "kwh": f"{Decimal(shown.energy_wh) / 1000:.3f}",
        "taxable_paise": heads[0],
        "tax_paise": heads[1] + heads[2] + heads[3],
        "total_paise": sum(heads),
        "verdict": row.verdict or "",
        "points": row.points or 0,
    }
