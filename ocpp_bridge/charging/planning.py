"""The planner of a site: one decision at a time, written down with its reasons, and carried out over the ledger."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from fleetcharge.lib.sweeps import survived
from ocpp_bridge.charging import checking, sending
from ocpp_bridge.charging.deciding import Decision, decide
from ocpp_bridge.charging.outlets import Outlet, Picture, chargers_of, picture_of
from ocpp_bridge.models import ChargingPlan, ChargingSite, Command, HeldProfile

ASKS = frozenset({Command.Action.SET_CHARGING_PROFILE, Command.Action.GET_COMPOSITE_SCHEDULE})
EVERY = timedelta(minutes=1)
KEEP = timedelta(days=14)
UNCHANGED_FOR = timedelta(minutes=15)


def mark_due(*, location_ids: Collection[int] = (), charger_ids: Collection[int] = (), now: datetime) -> list[int]:
    """Something happened at sites: they are planned anew. The ids of those that care (none: not managed)."""
    sites = ChargingSite.objects.filter(is_active=True)
    sites = sites.filter(Q(location__in=location_ids) if location_ids else Q(location__chargers__in=charger_ids))
    ids = sorted(set(sites.values_list("pk", flat=True)))
    if ids:
        with transaction.atomic():
            due = ChargingSite.objects.filter(pk__in=ids)
            list(due.select_for_update().order_by("pk").values_list("pk"))  # two that mark the same wait in turn
            due.update(due_at=now)
    return ids


@transaction.atomic
def forget_after_boot(*, charger_ids: Collection[int], now: datetime) -> list[int]:
    """Restarted chargers may have lost their profiles, and may take what they refused before."""
    ids = mark_due(charger_ids=charger_ids, now=now)
    if ids:
        held = HeldProfile.objects.filter(charger__in=charger_ids, charger__location__in=ids)
        held.update(must_renew=True, refusals=0, retry_at=None)
    return ids


def sweep(*, now: datetime) -> int:
    """Plan every site where something happened, and every other one once a minute; how many were planned."""
    ChargingPlan.objects.filter(at__lt=now - KEEP).delete()
    late = Q(planned_at=None) | Q(planned_at__lte=now - EVERY) | Q(due_at__isnull=False)
    ids = list(ChargingSite.objects.filter(late, is_active=True).order_by("pk").values_list("pk", flat=True))
    for location_id in ids:
        with survived("site", location_id):
            plan(location_id=location_id, reason="sweep", now=now)
    return len(ids)


@transaction.atomic
def plan(*, location_id: int, reason: str, now: datetime) -> ChargingPlan | None:
    """Take in what the chargers answered, decide, and send what is worth saying.

    None: the site is not managed, or nothing is different from the last decision. One planner per site at a time.
    """
    sites = ChargingSite.objects.select_for_update(of=("self",)).select_related("location")
    site = sites.filter(pk=location_id, is_active=True).first()
    if site is None:
        return None
    site.due_at, site.planned_at = None, now
    site.save(update_fields=["due_at", "planned_at"])
    picture = picture_of(site, now=now)
    checking.settle(picture, now=now)
    over = checking.watch(picture, now=now)
    sending.make_room(picture, now=now)
    decision = decide(picture, now=now)
    sent = sending.send(picture, decision, now=now)
    return _write_down(picture, decision, reason=reason, sent=sent, over=over, now=now)


def _write_down(
    picture: Picture, decision: Decision, *, reason: str, sent: int, over: int, now: datetime
) -> ChargingPlan | None:
    """Only what differs from the last one, and one each quarter of an hour."""
    site, books = picture.site, decision.books
    result = {
        "outlets": [_outlet(outlet, decision) for outlet in picture.outlets],
        "over": over,
        "excess_w": books.excess(),
    }
    last = site.plans.order_by("-at", "-pk").first()
    if last and not sent and last.result == result and now - last.at < UNCHANGED_FOR:
        return None
    return ChargingPlan.objects.create(
        site=site, at=now, reason=reason[:40], limit_w=books.limit_at(books.now),
        allowed_w=books.total_at(books.now), missing=len(decision.plan.missing_wh),
        inputs=_inputs(picture, decision) | {"sent": sent}, result=result,
    )  # fmt: skip


def _inputs(picture: Picture, decision: Decision) -> dict[str, Any]:
    site = picture.site
    return {
        "limits": decision.books.limits,
        "policy": site.policy,
        "safe_percent": site.safe_percent,
        "other_load_w": site.other_load_w,
        "caps": {str(charger): watts for charger, watts in picture.caps().items()},
        "sessions": [_session(outlet, site.organisation_id) for outlet in picture.outlets if outlet.session],
    }


def _session(outlet: Outlet, organisation_id: int) -> dict[str, Any]:
    want, session = outlet.want_for(organisation_id), outlet.session
    return {
        "evse": outlet.key,
        "session": session.pk if session else None,
        "min_w": outlet.min_w,
        "max_w": outlet.session_max_w,
        "needed_wh": want.needed_wh,
        "leaves_at": want.leaves_at.isoformat() if want.leaves_at else None,
        "soc_percent": want.soc_percent,
        "target_soc_percent": want.target_soc_percent,
        "departure_from": want.source,
    }


def _outlet(outlet: Outlet, decision: Decision) -> dict[str, Any]:
    """What one plug is to have; `wanted_w` None: it is not ours to steer now."""
    powers = decision.plan.power_w
    return {
        "evse": outlet.key,
        "charger": outlet.charger.ocpp_identity,
        "evse_number": outlet.evse_number,
        "session": outlet.session.pk if outlet.session else None,
        "wanted_w": powers[0].get(outlet.key) if powers else None,
        "missing_wh": decision.plan.missing_wh.get(outlet.key, 0),
    }


@transaction.atomic
def release(*, location_id: int, now: datetime) -> int:
    """The site is not managed any more: take every profile of ours back; how many were asked to go."""
    site = ChargingSite.objects.select_for_update(of=("self",)).get(pk=location_id)
    site.is_active, site.due_at = False, None
    site.save(update_fields=["is_active", "due_at"])
    rows = HeldProfile.objects.filter(charger__in=chargers_of(site)).order_by("pk")
    return len(list(sending.clear(rows, now=now)))
