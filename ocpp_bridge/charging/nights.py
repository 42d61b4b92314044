"""The door for plans of a whole night: limits of a site to plan with, and watts by time for its sessions."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from billing.models import ChargingSession
from ocpp_bridge.charging import planning
from ocpp_bridge.charging.windows import limits_over
from ocpp_bridge.models import ChargingGoal, ChargingSite
from stations.cpo.power import Wish

ACTOR = "depot plan"
SAME_WH = 250


class Nights:
    """A SharesPower (stations/cpo/power.py)."""

    def limits(self, location_id: int, *, now: datetime, hours: int) -> list[tuple[int, int]] | None:
        site = ChargingSite.objects.select_related("location").filter(pk=location_id, is_active=True).first()
        if site is None:
            return None
        return limits_over(
            limit_w=site.limit_w, windows=site.windows, other_load_w=site.other_load_w,
            time_zone=site.location.time_zone, now=now, hours=hours,
        )  # fmt: skip

    @transaction.atomic
    def wish(self, wishes: Sequence[Wish], *, now: datetime) -> list[int]:
        """A goal per session that no person has set; their sites are planned anew where something changed."""
        by_session = {wish.session_id: wish for wish in wishes}
        goals = ChargingGoal.objects.select_for_update().in_bulk(list(by_session))
        steered = [key for key in by_session if key not in goals or goals[key].actor == ACTOR]
        wanted = [key for key in steered if by_session[key].rows]
        changed = [key for key in wanted if _differs(goals.get(key), by_session[key])]
        over = [key for key in steered if key not in wanted and _is_ahead(goals.get(key), now)]
        for key in sorted(changed):
            _set(by_session[key], now)
        ChargingGoal.objects.filter(pk__in=over).delete()
        chargers = ChargingSession.objects.filter(pk__in=[*changed, *over], charger__isnull=False).values_list(
            "charger"
        )
        planning.mark_due(charger_ids=sorted({charger for (charger,) in chargers}), now=now)
        return wanted


def _is_ahead(goal: ChargingGoal | None, now: datetime) -> bool:
    """Who has had all that was planned keeps its goal, and waits for nothing more."""
    return goal is not None and any(until > now.timestamp() for _, until, _ in goal.schedule)


def _rows(wish: Wish) -> list[list[int]]:
    return [list(row) for row in wish.rows]


def _differs(goal: ChargingGoal | None, wish: Wish) -> bool:
    """What is metered strays from what was planned; a new figure for that would say nothing."""
    if goal is None or goal.energy_wh is None or abs(goal.energy_wh - wish.energy_wh) > SAME_WH:
        return True
    return (goal.schedule, goal.departure_at) != (_rows(wish), wish.departure_at)


def _set(wish: Wish, now: datetime) -> None:
    values = {
        "departure_at": wish.departure_at, "energy_wh": wish.energy_wh, "target_soc_percent": None,
        "schedule": _rows(wish), "actor": ACTOR, "set_at": now,
    }  # fmt: skip
    ChargingGoal.objects.update_or_create(session_id=wish.session_id, defaults=values)
