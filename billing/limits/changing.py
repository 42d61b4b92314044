"""A fleet sets, changes and removes its own limits; each with a reason, in the audit trail."""

from typing import Any

from django.db import transaction

from billing.models import SpendLimit
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from stations.models import Location, Tariff
from vehicles.models import Driver, Vehicle

Scope = SpendLimit.Scope
LEAST_PAISE, MOST_PAISE = 1_00, 5_00_00_000_00
RELATED = ("location", "vehicle", "driver", "tariff")
WHOSE = ("cost_centre", *RELATED)
TERMS = ("amount_paise", "energy_wh")


class NobodyOfThatName(ValueError):
    """The scope has no such vehicle, driver, site or cost centre in this fleet."""


def whose(*, organisation: Organisation, scope: str, name: str) -> dict[str, Any]:
    """The column that says whose limit it is, found by plate, name, cost centre or id. Raises NobodyOfThatName."""
    name = name.strip()
    if scope == Scope.ORGANISATION:
        return {}
    if scope == Scope.COST_CENTRE and name:
        return {"cost_centre": name[:40]}
    rows: Any = {
        Scope.VEHICLE: Vehicle.objects.filter(organisation=organisation, registration__iexact=name),
        Scope.DRIVER: Driver.objects.filter(organisation=organisation, name__iexact=name),
        Scope.SITE: Location.objects.visible_to(organisation).filter(name__iexact=name),
        Scope.TARIFF: Tariff.objects.filter(
            source__in=Location.objects.visible_to(organisation).values("source"), valid_to=None, external_id=name
        ),
    }.get(Scope(scope))  # fmt: skip
    found = rows.order_by("pk").first() if rows is not None and name else None
    if found is None:
        raise NobodyOfThatName(name)
    return {{Scope.SITE: "location"}.get(Scope(scope), scope): found}


@transaction.atomic
def set_limit(
    *, organisation: Organisation, scope: str, period: str, amount_paise: int | None, energy_wh: int | None,
    is_hard: bool, reason: str, actor: User | None, actor_label: str = "", **of: Any,
) -> SpendLimit:  # fmt: skip
    """Set or change the limit of this scope and period; the same again changes nothing.

    `of` names whose it is (vehicle, driver, location or cost_centre). It holds for what begins from now on; what is
    reserved and spent counts on. Raises ValueError for a limit that bounds nothing, and without a reason.
    """
    check(amount_paise, energy_wh, reason)
    key = {"organisation": organisation, "scope": scope, "period": period, "is_hard": is_hard, **of}
    row = SpendLimit.objects.select_for_update(of=("self",)).filter(**key).first()
    before = {name: getattr(row, name) for name in TERMS} if row else None
    after = {"amount_paise": amount_paise, "energy_wh": energy_wh}
    if before == after and row is not None:
        return row
    row = row or SpendLimit(**key)
    row.amount_paise, row.energy_wh = amount_paise, energy_wh
    row.save()
    audit(
        action="set_limit", target=row, actor=actor, actor_label=actor_label, reason=reason, organisation=organisation,
        before=before, after=after,
    )  # fmt: skip
    return row


def change_limit(
    *, limit: SpendLimit, amount_paise: int | None, energy_wh: int | None, reason: str, actor: User | None
) -> SpendLimit:  # fmt: skip
    """Other bounds for the same: whose it is and its period stay. Raises ValueError as `set_limit`."""
    return set_limit(
        organisation=limit.organisation, scope=limit.scope, period=limit.period, is_hard=limit.is_hard, actor=actor,
        amount_paise=amount_paise, energy_wh=energy_wh, reason=reason,
        **{name: getattr(limit, name) for name in WHOSE if getattr(limit, name)},
    )  # fmt: skip


@transaction.atomic
def remove_limit(*, limit: SpendLimit, reason: str, actor: User | None, actor_label: str = "") -> None:
    """It bounds nothing from now on; what was counted on it goes with it. Raises ValueError without a reason."""
    if not reason.strip():
        raise ValueError("A limit is removed with a reason.")
    audit(
        action="remove_limit", target=limit, actor=actor, actor_label=actor_label, reason=reason,
        organisation=limit.organisation, before={name: getattr(limit, name) for name in TERMS},
    )  # fmt: skip
    limit.delete()


def check(amount_paise: int | None, energy_wh: int | None, reason: str) -> None:
    """Raises ValueError for bounds that bound nothing or are out of reason, and without a reason."""
    if not reason.strip():
        raise ValueError("A limit is set with a reason.")
    if amount_paise is None and energy_wh is None:
        raise ValueError("A limit bounds money, energy or both.")
    if amount_paise is not None and not LEAST_PAISE <= amount_paise <= MOST_PAISE:
        raise ValueError("A limit is between ₹1 and ₹5 crore.")
    if energy_wh is not None and not 1_000 <= energy_wh <= 10**12:
        raise ValueError("A limit is at least one kWh.")
