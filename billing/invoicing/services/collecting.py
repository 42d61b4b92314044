"""What is to be billed: priced and paid sessions whose evidence does not speak against them, and their corrections."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from billing.gst.numbering import INDIA
from billing.invoicing.grouping import Priced, corrected_lines, priced_lines
from billing.invoicing.models import BilledItem
from billing.models import CDR, CDRAdjustment
from billing.reconciliation import deciding, outweighing
from fleetcharge.accounts.models import Organisation
from stations.models import Source

NEEDED = (
    "organisation_id", "started_at", "ended_at", "energy_wh", "taxable_paise", "cgst_paise", "sgst_paise", "igst_paise",
    "explanation", "session__transaction_ref", "session__id_token_uid", "session__source_id", "session__vehicle_id",
    "session__connector_id", "session__organisation_id", "session__verdict__verdict", "session__verdict__points",
)  # fmt: skip
KNOWN = "known_adjustments"
SHARED = ("session__source", "session__vehicle", "session__connector__evse__location")


@dataclass(frozen=True)
class Item:
    """A session or a correction of one: its priced lines, what was booked for it, and what its annexure says."""

    cdr: CDR
    adjustment: CDRAdjustment | None
    lines: list[Priced]
    taxable_paise: int
    cgst_paise: int
    sgst_paise: int
    igst_paise: int
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def tax_paise(self) -> int:
        return self.cgst_paise + self.sgst_paise + self.igst_paise

    @property
    def total_paise(self) -> int:
        return self.taxable_paise + self.tax_paise

    @property
    def network_slug(self) -> str:
        """'' for a charger of our own."""
        source = self.cdr.session.source
        return "" if source.kind == Source.Kind.OWN_OCPP else source.slug

    @property
    def site(self) -> str:
        return self.cdr.session.connector.evse.location.name

    @property
    def network(self) -> str:
        return self.cdr.session.source.name if self.network_slug else ""


def unbilled(*, before: datetime) -> QuerySet[CDR]:
    """Paid records of sessions that ended before, on no document yet; held ones too (`held`)."""
    billed = BilledItem.objects.filter(cdr=OuterRef("pk"), adjustment=None)
    return CDR.objects.filter(~Exists(billed), captured_at__isnull=False, ended_at__lt=before)


def held(cdrs: QuerySet[CDR]) -> QuerySet[CDR]:
    """Blocked by their evidence, or a record in doubt, and not yet accepted by a person: they stay off the invoice."""
    held_verdict = Q(session__verdict__verdict__in=deciding.HELD) & ~Q(session__verdict__outcome__in=outweighing.BILLED)
    is_decided = ~Q(session__verdict__outcome="")
    waits = is_decided | ~Exists(
        deciding.accepted_questions(OuterRef("session"), OuterRef("session__verdict__verdict"))
    )
    return cdrs.filter(held_verdict & waits, session__reconciled_at__isnull=False)


def unjudged(cdrs: QuerySet[CDR]) -> QuerySet[CDR]:
    return cdrs.filter(session__reconciled_at=None)


def billable(cdrs: QuerySet[CDR]) -> QuerySet[CDR]:
    blocked = held(CDR.objects.filter(pk=OuterRef("pk")))
    return cdrs.filter(~Exists(blocked), session__reconciled_at__isnull=False)


def items_of(organisation: Organisation, *, before: datetime) -> list[Item]:
    """For invoices, oldest first; with the corrections that are known by now."""
    adjustments = Prefetch("adjustments", CDRAdjustment.objects.order_by("number"), to_attr=KNOWN)
    rows = billable(unbilled(before=before).filter(organisation=organisation))
    found = _lean(rows).prefetch_related(adjustments).order_by("ended_at", "pk")
    return [item for cdr in found for item in (_session(cdr), *_corrections(cdr))]


def late_corrections(organisation: Organisation) -> list[Item]:
    """Of sessions that stand on an issued document: they want a note of their own."""
    billed = BilledItem.objects.filter(cdr=OuterRef("cdr"), adjustment=None)
    late = CDRAdjustment.objects.filter(Exists(billed), cdr__organisation=organisation, billed_item=None)
    cdrs = _lean(CDR.objects.filter(pk__in=late.values("cdr"))).prefetch_related(
        Prefetch("adjustments", CDRAdjustment.objects.select_related("billed_item").order_by("number"), to_attr=KNOWN)
    ).order_by("pk")  # fmt: skip
    return [
        item
        for cdr in cdrs
        for item in _corrections(cdr)
        if item.adjustment is not None and not hasattr(item.adjustment, "billed_item")
    ]


def _lean(rows: QuerySet[CDR]) -> QuerySet[CDR]:
    """Of each record only what a document needs (never the evidence); a site, vehicle or network once for all."""
    return rows.select_related("session__verdict").only(*NEEDED).prefetch_related(*SHARED)


def _session(cdr: CDR) -> Item:
    lines = priced_lines(cdr.explanation, cdr.taxable_paise or 0)
    heads = (cdr.taxable_paise or 0, cdr.cgst_paise, cdr.sgst_paise, cdr.igst_paise)
    return Item(cdr, None, lines, *heads, _facts(cdr, cdr, "session", heads))


def _corrections(cdr: CDR) -> Iterable[Item]:
    if not getattr(cdr, KNOWN):
        return
    states: list[tuple[Any, list[Priced]]] = [(cdr, priced_lines(cdr.explanation, cdr.taxable_paise or 0))]
    in_force = cdr.taxable_paise or 0
    for row in getattr(cdr, KNOWN):
        in_force += row.taxable_paise
        states.append((row, priced_lines(row.explanation, in_force)))
    for (_, before), (row, after) in pairwise(states):
        lines = corrected_lines(before, after, row.taxable_paise)
        heads = (row.taxable_paise, row.cgst_paise, row.sgst_paise, row.igst_paise)
        yield Item(cdr, row, lines, *heads, _facts(cdr, row, f"correction {row.number}", heads))


def _facts(cdr: CDR, row: CDR | CDRAdjustment, kind: str, heads: tuple[int, int, int, int]) -> dict[str, Any]:
    """The row of the annexure: plain text and numbers, so that it gives the same bytes for ever."""
    session = cdr.session
    verdict = getattr(session, "verdict", None)
    minutes = (row.ended_at - row.started_at).total_seconds() / 60
    return {
        "record": cdr.pk,
        "kind": kind,
        "transaction": session.transaction_ref,
        "vehicle": session.vehicle.registration if session.vehicle else session.id_token_uid,
        "cost_centre": session.vehicle.cost_centre if session.vehicle else "",
        "site": session.connector.evse.location.name,
        "network": "" if session.source.kind == Source.Kind.OWN_OCPP else session.source.name,
        "started_at": row.started_at.astimezone(INDIA).isoformat(timespec="seconds"),
        "ended_at": row.ended_at.astimezone(INDIA).isoformat(timespec="seconds"),
        "minutes": f"{minutes:.0f}",
        "kwh": f"{Decimal(row.energy_wh) / 1000:.3f}",
        "taxable_paise": heads[0],
        "tax_paise": sum(heads[1:]),
        "total_paise": sum(heads),
        "verdict": verdict.verdict if verdict else "",
        "points": verdict.points if verdict else 0,
    }
