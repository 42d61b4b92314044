"""The lines an organisation draws for the rules, by day: a new row for every change, the old ones stay."""

from collections.abc import Iterable
from datetime import date, datetime

from django.db import transaction

from billing.gst.numbering import INDIA
from billing.matching import DEFAULTS, Thresholds, with_changes
from billing.models import RuleTerms
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit


def india_day(at: datetime) -> date:
    return at.astimezone(INDIA).date()


def in_force(wanted: Iterable[tuple[int, date]]) -> dict[tuple[int, date], Thresholds]:
    """Per organisation and day of the session's start; one query. What is not in it has the defaults."""
    pairs = set(wanted)
    rows = list(RuleTerms.objects.filter(organisation_id__in={pk for pk, _ in pairs}))  # newest day first
    found = {}
    for organisation_id, day in pairs:
        row = next((row for row in rows if row.organisation_id == organisation_id and row.is_in_force(day)), None)
        if row is not None:
            found[organisation_id, day] = with_changes(row.changes)
    return found


@transaction.atomic
def change(
    *,
    organisation: Organisation,
    valid_from: date,
    changes: dict[str, int],
    reason: str,
    actor: User | None,
    at: datetime,
) -> RuleTerms:
    """Draw lines anew from a day on. Raises UnusableTerms, and ValueError without a reason."""
    if not reason.strip():
        raise ValueError("A change needs a reason.")
    differing = {name: value for name, value in changes.items() if value != getattr(DEFAULTS, name, None)}
    with_changes(differing)
    row = RuleTerms.objects.create(
        organisation=organisation, valid_from=valid_from, changes=differing, reason=reason.strip(), created_by=actor,
        created_at=at,
    )  # fmt: skip
    earlier = RuleTerms.objects.filter(organisation=organisation, valid_from__lte=valid_from).exclude(pk=row.pk).first()
    audit(
        action="rules.change", target=row, actor=actor, reason=reason, organisation=organisation,
        before=earlier.changes if earlier else {}, after={"valid_from": valid_from.isoformat(), **differing},
    )  # fmt: skip
    return row
