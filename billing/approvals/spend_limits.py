"""A fleet's finance raises or removes a spending limit; where the fleet's policy wants it, with a second person.

Owners decide alone: the policy is theirs. Setting a limit anew and lowering one bound more, and need nobody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing.approvals import services, thresholds
from billing.approvals.models import Approval
from billing.limits import changing
from billing.models import SpendLimit
from fleetcharge.accounts.models import Membership, Organisation, User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND = thresholds.SPEND_LIMIT
Bounds = dict[str, int | None]


@transaction.atomic
def set_or_ask(
    *, organisation: Organisation, scope: str, period: str, amount_paise: int | None, energy_wh: int | None,
    is_hard: bool, reason: str, actor: User | None, now: datetime, actor_label: str = "", **of: Any,
) -> Approval | None:  # fmt: skip
    """Set a limit; None when it is set, the wish when another person has to agree.

    Raises ValueError as `changing.set_limit`, Conflict when a wish about it waits, or for a key.
    """
    changing.check(amount_paise, energy_wh, reason)
    key = {"scope": scope, "period": period, "is_hard": is_hard, **of}
    rows = SpendLimit.objects.select_for_update(of=("self",)).select_related("organisation", *changing.RELATED)
    limit = rows.filter(organisation=organisation, **key).first()
    after: Bounds = {"amount_paise": amount_paise, "energy_wh": energy_wh}
    if limit is None or not _loosens(bounds(limit), after) or not _is_guarded(organisation, actor):
        changing.set_limit(
            organisation=organisation, amount_paise=amount_paise, energy_wh=energy_wh, reason=reason, actor=actor,
            actor_label=actor_label, **key,
        )  # fmt: skip
        return None
    return _ask(limit, after, reason, actor, now)


def change_or_ask(
    *, limit: SpendLimit, amount_paise: int | None, energy_wh: int | None, reason: str, actor: User | None,
    now: datetime,
) -> Approval | None:  # fmt: skip
    """Other bounds for the same, as `set_or_ask`."""
    of = {name: getattr(limit, name) for name in changing.WHOSE if getattr(limit, name)}
    return set_or_ask(
        organisation=limit.organisation, scope=limit.scope, period=limit.period, is_hard=limit.is_hard, actor=actor,
        amount_paise=amount_paise, energy_wh=energy_wh, reason=reason, now=now, **of,
    )  # fmt: skip


def remove_or_ask(
    *, limit: SpendLimit, reason: str, actor: User | None, now: datetime, actor_label: str = ""
) -> Approval | None:
    """None when it is gone. Raises ValueError without a reason, Conflict as `set_or_ask`."""
    if not reason.strip():
        raise ValueError("A limit is removed with a reason.")
    if not _is_guarded(limit.organisation, actor):
        changing.remove_limit(limit=limit, reason=reason, actor=actor, actor_label=actor_label)
        return None
    return _ask(limit, None, reason, actor, now)


def bounds(limit: SpendLimit) -> Bounds:
    return {"amount_paise": limit.amount_paise, "energy_wh": limit.energy_wh}


def _loosens(before: Bounds, after: Bounds) -> bool:
    pairs = [(before[name], after[name]) for name in before]
    return any(old is not None and (new is None or new > old) for old, new in pairs)


def _is_guarded(organisation: Organisation, actor: User | None) -> bool:
    """Does the fleet want two people, and is this one not its owner?"""
    if thresholds.raise_free_paise(organisation.pk) is None:
        return False
    if actor is None:
        raise Conflict("This fleet has limits raised by people, not by a key.", code="person_needed")
    owners = Membership.objects.filter(organisation=organisation, user=actor, role=Membership.Role.OWNER)
    return not (actor.is_superuser or owners.exists())


def _ask(limit: SpendLimit, after: Bounds | None, reason: str, actor: User | None, now: datetime) -> Approval:
    assert actor is not None  # noqa: S101 (_is_guarded refuses keys)
    before = bounds(limit)
    old, new = before["amount_paise"], (after or before)["amount_paise"]
    raised = max(0, new - old) if old is not None and new is not None else 0
    is_measured = after is not None and raised > 0 and not _loosens({"energy_wh": before["energy_wh"]}, after)
    what = "Remove the limit of" if after is None else "Raise the limit of"
    return services.ask(
        kind=KIND, organisation_id=limit.organisation_id, subject=f"limit:{limit.pk}", title=f"{what} {limit}",
        asked_by=actor, reason=reason, now=now, amount_paise=raised, may_be_free=is_measured,
        facts={"limit_id": limit.pk, "before": before, "after": after},
    )  # fmt: skip


def _set(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when the limit was changed or removed since it was asked."""
    rows = SpendLimit.objects.select_for_update(of=("self",)).select_related("organisation", *changing.RELATED)
    limit = rows.filter(pk=approval.facts["limit_id"]).first()
    if limit is None or bounds(limit) != approval.facts["before"]:
        raise Conflict("The limit has changed since this was asked.", code="changed_meanwhile")
    after = approval.facts["after"]
    if after is None:
        changing.remove_limit(limit=limit, reason=approval.reason, actor=decided_by)
    else:
        changing.change_limit(limit=limit, reason=approval.reason, actor=decided_by, **after)
    return f"limit:{approval.facts['limit_id']}"


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    before, after = approval.facts["before"], approval.facts["after"] or {}
    rows = [
        (_("At most"), _money(before["amount_paise"]), _money(after.get("amount_paise"))),
        (_("Energy, kWh"), _kwh(before["energy_wh"]), _kwh(after.get("energy_wh"))),
    ]
    return [row for row in rows if row[1] != row[2]]


def _money(paise: int | None) -> str:
    return str(_("no limit")) if paise is None else format_inr(paise)


def _kwh(energy_wh: int | None) -> str:
    return str(_("no limit")) if energy_wh is None else f"{energy_wh / 1000:.0f}"


services.register(services.Kind(KIND, _("Spending limit"), _set, shown=_shown))
