"""Negotiated rates: one person asks, another approves, and only then there is a version."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from billing.approvals import services as approvals
from billing.approvals.models import Approval
from billing.gst.numbering import INDIA
from billing.prepared import prepare
from billing.prices.models import NegotiatedRate
from billing.tariff_terms import read_terms
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from stations.models import Location, Source

KIND = "negotiated_rate"


def ask(
    *,
    organisation_id: int,
    source_id: int,
    location_id: int | None,
    name: str,
    elements: list[dict[str, Any]],
    valid_from: datetime,
    asked_by: User,
    reason: str,
    now: datetime,
    valid_to: datetime | None = None,
    terms: dict[str, Any] | None = None,
    currency: str = "INR",
) -> Approval:
    """Ask for a rate, or with empty `elements` for the end of one.

    Raises TariffError (a ValueError) for a price that cannot be read, ValueError for times or a site that do not fit,
    Conflict when another wish for the same place waits.
    """
    if elements:
        prepare(elements).for_sessions()
        read_terms(terms)
    if valid_to is not None and valid_to <= valid_from:
        raise ValueError("It would end before it begins.")
    if location_id is not None and not Location.objects.filter(pk=location_id, source=source_id).exists():
        raise ValueError("The site is not one of this network.")
    source = Source.objects.get(pk=source_id)
    fleet = Organisation.objects.values_list("name", flat=True).get(pk=organisation_id)
    return approvals.ask(
        kind=KIND, organisation_id=organisation_id, subject=f"rate:{source_id}:{location_id or 'all'}",
        title=f"{'Rate' if elements else 'End of the rate'} of {fleet} at {source.name}: {name}", asked_by=asked_by,
        reason=reason, now=now,
        facts={
            "source_id": source_id, "location_id": location_id, "name": name, "elements": elements,
            "terms": terms or {}, "currency": currency, "valid_from": valid_from.isoformat(),
            "valid_to": valid_to.isoformat() if valid_to else None,
            "before": {"elements": _in_force(organisation_id, source_id, location_id)}, "after": {"elements": elements},
        },
    )  # fmt: skip


def _in_force(organisation_id: int, source_id: int, location_id: int | None) -> list[dict[str, Any]]:
    """What was agreed last for the same place; nothing when that has ended, or never was."""
    versions = NegotiatedRate.objects.filter(organisation=organisation_id, source=source_id, location=location_id)
    newest = versions.order_by("-version").first()
    return list(newest.elements) if newest else []


@transaction.atomic
def _make(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when a version that begins later is agreed already: history is not rewritten from behind."""
    facts = approval.facts
    valid_from = parse_datetime(facts["valid_from"])
    assert valid_from is not None  # noqa: S101 (written by ask)
    Organisation.objects.select_for_update(no_key=True).get(pk=approval.organisation_id)
    versions = NegotiatedRate.objects.filter(
        organisation=approval.organisation_id, source=facts["source_id"], location=facts["location_id"]
    )
    newest = versions.order_by("-version").first()
    if newest is not None and newest.valid_from > valid_from:
        raise Conflict("A later version is agreed already.", code="later_version")
    rate = NegotiatedRate.objects.create(
        organisation_id=approval.organisation_id, source_id=facts["source_id"], location_id=facts["location_id"],
        version=newest.version + 1 if newest else 1, name=facts["name"][:120], currency=facts["currency"],
        elements=facts["elements"], terms=facts["terms"], valid_from=valid_from,
        valid_to=parse_datetime(facts["valid_to"]) if facts["valid_to"] else None, is_end=not facts["elements"],
        asked_by=approval.asked_by, approved_by=decided_by, reason=approval.reason, created_at=now,
    )  # fmt: skip
    return f"rate:{rate.pk}"


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    """Who agrees to a price reads it."""
    facts = approval.facts
    before = facts.get("before", {}).get("elements") or []
    terms = ", ".join(f"{name} {value}" for name, value in sorted(facts["terms"].items()))
    rows = [
        (_("Price"), in_words(before), in_words(facts["elements"])), (_("From"), "", _day(facts["valid_from"])),
        (_("Until"), "", _day(facts["valid_to"])), (_("Terms"), "", terms),
    ]  # fmt: skip
    return [row for row in rows if row[2]]


def in_words(elements: list[dict[str, Any]]) -> str:
    """Every component of every OCPI element with what it is restricted to: "ENERGY 12.50 (start_time 22:00)"."""
    return "; ".join(
        ", ".join(f"{part['type']} {part['price']}" for part in element["price_components"])
        + (
            f" ({', '.join(f'{name} {bound}' for name, bound in sorted(limits.items(), reverse=True))})"
            if limits
            else ""
        )
        for element in elements
        for limits in [element.get("restrictions") or {}]
    ) or str(_("public price"))


def _day(moment: str | None) -> str:
    at = parse_datetime(moment) if moment else None
    return f"{at.astimezone(INDIA):%Y-%m-%d %H:%M}" if at else ""


approvals.register(approvals.Kind(KIND, _("Negotiated rate"), _make, is_ours=True, shown=_shown))
