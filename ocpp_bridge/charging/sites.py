"""A managed site for people: its limits, the goals of its sessions, and what its last plan says of each."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from ocpp_bridge.charging import planning
from ocpp_bridge.charging.outlets import Outlet, picture_of
from ocpp_bridge.charging.profiles import held_at
from ocpp_bridge.models import ChargingGoal, ChargingSite
from stations.models import Location

LIMITS = ("limit_w", "windows", "other_load_w", "policy", "safe_percent")


@transaction.atomic
def manage(
    *, location_id: int, organisation_id: int, actor: User | None, actor_label: str, now: datetime, **limits: Any
) -> ChargingSite:
    """Set the limits of a site (LIMITS) and have it planned; repeating it changes nothing."""
    site, is_new = ChargingSite.objects.select_for_update().get_or_create(
        location_id=location_id, defaults={"organisation_id": organisation_id, **limits}
    )
    before = {name: getattr(site, name) for name in limits}
    if is_new or before != limits or not site.is_active:
        for name, value in limits.items():
            setattr(site, name, value)
        site.is_active, site.due_at = True, now
        site.save()
        audit(
            action="charging.limits", target=site, actor=actor, actor_label=actor_label,
            before={} if is_new else before, after=limits,
        )  # fmt: skip
    return site


@transaction.atomic
def give_up(*, site: ChargingSite, actor: User | None, actor_label: str, now: datetime) -> int:
    """Stop managing a site; returns how many profiles its chargers are asked to forget."""
    audit(action="charging.release", target=site, actor=actor, actor_label=actor_label)
    return planning.release(location_id=site.pk, now=now)


@transaction.atomic
def set_goal(
    *,
    session: ChargingSession,
    departure_at: datetime | None,
    target_soc_percent: int | None,
    energy_wh: int | None,
    actor: str,
    now: datetime,
) -> ChargingGoal:
    """What somebody wants of this session; its site is planned anew."""
    wanted: dict[str, Any] = {
        "departure_at": departure_at, "target_soc_percent": target_soc_percent, "energy_wh": energy_wh, "schedule": [],
    }  # fmt: skip
    goal, _ = ChargingGoal.objects.update_or_create(
        session=session, defaults={**wanted, "actor": actor[:120], "set_at": now}
    )
    if session.charger_id:
        planning.mark_due(charger_ids=[session.charger_id], now=now)
    return goal


@transaction.atomic
def change_goal(
    *, session: ChargingSession, departure_at: datetime | None, energy_wh: int | None, actor: str, now: datetime
) -> ChargingGoal:
    """What is not said again stays: a departure keeps how much is wanted, and how much keeps the departure."""
    before = ChargingGoal.objects.select_for_update().filter(session=session).first() or ChargingGoal(session=session)
    return set_goal(
        session=session, departure_at=departure_at or before.departure_at, actor=actor, now=now,
        target_soc_percent=before.target_soc_percent if energy_wh is None else None,
        energy_wh=before.energy_wh if energy_wh is None else energy_wh,
    )  # fmt: skip


@transaction.atomic
def drop_goal(*, session: ChargingSession, now: datetime) -> bool:
    """Back to what shifts, stops and the vehicle say."""
    dropped, _ = ChargingGoal.objects.filter(session=session).delete()
    if session.charger_id:
        planning.mark_due(charger_ids=[session.charger_id], now=now)
    return bool(dropped)


def own_locations(organisation: Organisation) -> Any:
    """Sites where this organisation has chargers of its own."""
    return Location.objects.filter(chargers__organisation=organisation, is_removed=False).distinct()


def view_of(site: ChargingSite, *, now: datetime | None = None) -> dict[str, Any]:
    """What every plug wants, may draw and draws, by the newest plan and what the chargers hold right now."""
    now = now or timezone.now()
    last = site.plans.order_by("-at", "-pk").first()
    planned = {row["evse"]: row for row in last.result["outlets"]} if last else {}
    outlets = picture_of(site, now=now).outlets
    return {
        "planned_at": last.at if last else None,
        "reason": last.reason if last else "",
        "limit_now_w": last.limit_w if last else None,
        "allowed_w": last.allowed_w if last else None,
        "excess_w": last.result["excess_w"] if last else None,
        "measured_w": sum(outlet.session.power_w or 0 for outlet in outlets if outlet.session),
        "outlets": [_row(site, outlet, planned.get(outlet.key, {}), int(now.timestamp())) for outlet in outlets],
    }


def _row(site: ChargingSite, outlet: Outlet, planned: dict[str, Any], now: int) -> dict[str, Any]:
    session, want, tx = outlet.session, outlet.want_for(site.organisation_id), outlet.tx
    is_current = session is not None and planned.get("session") == session.pk
    return {
        "charger": outlet.charger.ocpp_identity,
        "evse_number": outlet.evse_number,
        "is_online": outlet.charger.is_online,
        "max_w": outlet.max_w,
        "session": session.pk if session else None,
        "wanted_w": planned.get("wanted_w") if is_current else None,
        "allowed_w": outlet.ceiling().at(now),
        "profile_w": held_at(tx.accepted, now) if tx and session else None,
        "measured_w": session.power_w if session else None,
        "needed_wh": want.needed_wh if session else None,
        "leaves_at": want.leaves_at,
        "departure_from": want.source,
        "missing_wh": planned.get("missing_wh", 0) if is_current else 0,
        "refused": (tx.reason if tx else "") or (outlet.default.reason if outlet.default else ""),
        "verdict": tx.verdict if tx else "",
        "is_over": bool(tx and tx.over_since),
    }
