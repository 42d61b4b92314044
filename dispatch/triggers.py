"""Reasons to plan before a vehicle is low, and to plan again though nothing broke.

`arrival`: it would come to one of its stops with less than the reserve. `last_charger`: without stops ahead, the
nearest fast charger is about to fall out of reach. `better`: another plug beats the one it is sent to by more than
moving is worth. Each is told by the vehicle's newest reading, which is in the key of the plan that follows from it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from django.db import connection
from django.db.models import Q

from dispatch import candidates, deciding
from dispatch.core import energy
from dispatch.engines.base import RoutingEngine
from dispatch.engines.crow import CIRCUITY
from dispatch.models import ChargePlan
from dispatch.plug_rows import parsed
from dispatch.problems import LEAST_PAISE_PER_MINUTE
from dispatch.questions import question_of
from dispatch.site_index import sites
from dispatch.situation import LONGEST_SESSION, MOST_STOPS, Situation, StopAhead
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.geo import distance_m
from vehicles.models import POSITION_STALE_AFTER

ARRIVAL, LAST_CHARGER, BETTER = "arrival", "last_charger", "better"
EARLY = (ARRIVAL, LAST_CHARGER)
SHORT_BY_PERCENT = 1.0
"""A prediction that is short by less may be long again with the next reading."""
SPARE_PERCENT = 3.0
"""With less to spare than this on arrival at the nearest charger, it is about to be out of reach."""
WATCHED_BELOW_PERCENT = 50.0
"""Vehicles without stops are looked at from here on."""
COARSE_PERCENT = 10.0
"""Straight lines are no roads: who is this much above the reserve by them is not looked at closely."""
HOLDS = timedelta(hours=1)
"""A person who dismissed such a plan is not asked again for so long; what was infeasible or done rests too."""
SETTLED_AFTER = timedelta(minutes=2)
"""A plan so young is left alone, however good another plug looks."""
STAY_MINUTES = 5.0
"""A vehicle is sent elsewhere only for a gain of more than this, in rupees at its fleet's rate."""
SWEEP_SECONDS = 30.0
MOST_IN_A_SWEEP = 50
MOST_SUSPECTS = 500
WATCHED = """
SELECT v.id, s.latitude, s.longitude, CASE WHEN s.soc_source = 'estimated'
       THEN greatest(0, s.soc_percent - 1.2816 * s.soc_sigma_percent) ELSE s.soc_percent END,
       m.battery_wh, m.consumption_wh_per_km * v.appetite, o.reserve_soc_percent,
       (SELECT json_agg(json_build_array(t.latitude, t.longitude) ORDER BY t.sequence)
        FROM (SELECT * FROM vehicles_stop WHERE vehicle_id = v.id AND done_at IS NULL
              ORDER BY sequence LIMIT %(most_stops)s) t)
FROM vehicles_vehicle v
JOIN vehicles_vehiclemodel m ON m.id = v.model_id
JOIN accounts_organisation o ON o.id = v.organisation_id
JOIN vehicles_vehiclestate s ON s.vehicle_id = v.id
WHERE v.is_active AND NOT s.is_soc_low AND NOT s.is_charging AND s.soc_percent IS NOT NULL
  AND s.latitude IS NOT NULL AND s.position_at > %(heard_since)s
  AND NOT EXISTS (SELECT 1 FROM dispatch_chargeplan p WHERE p.vehicle_id = v.id
                  AND (p.state IN ('proposed', 'accepted', 'reserved', 'charging') OR p.closed_at > %(held_since)s))
  AND NOT EXISTS (SELECT 1 FROM billing_chargingsession b
                  WHERE b.vehicle_id = v.id AND b.started_at > %(sessions_since)s AND b.state = 'active'
                  AND b.suspect_reason = '')
ORDER BY s.soc_percent
"""


class Watched(NamedTuple):
    vehicle_id: int
    latitude: float
    longitude: float
    soc_percent: float
    battery_wh: int
    wh_per_km: float
    reserve_percent: int
    stops: Any


def suspects(*, now: datetime) -> list[int]:
    """Vehicles worth a closer look, the emptiest first; one query and straight lines. Many take turns."""
    values: dict[str, Any] = {
        "most_stops": MOST_STOPS, "heard_since": now - POSITION_STALE_AFTER, "held_since": now - HOLDS,
        "sessions_since": now - LONGEST_SESSION,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(WATCHED, values)
        rows = [Watched(*row) for row in cursor.fetchall()]
    return _in_turn([row.vehicle_id for row in rows if _is_suspect(row)], MOST_SUSPECTS, now)


def _in_turn(found: list[int], most: int, now: datetime) -> list[int]:
    """This sweep's part of them; the next sweeps have the others."""
    turns = -(-len(found) // most) or 1
    return found[int(now.timestamp() / SWEEP_SECONDS) % turns :: turns]


def _is_suspect(row: Watched) -> bool:
    stops = parsed(row.stops) if isinstance(row.stops, str) else row.stops
    if not stops:
        return row.soc_percent < WATCHED_BELOW_PERCENT
    way = [(row.latitude, row.longitude), *stops]
    metres = CIRCUITY * sum(distance_m(*a, *b) for a, b in pairwise(way))
    left = row.soc_percent - energy.leg_wh(metres, row.wh_per_km) / row.battery_wh * 100
    return left < row.reserve_percent + COARSE_PERCENT


def is_held(vehicle_id: int, *, now: datetime) -> bool:
    """There is a plan, or one came to its end a short while ago."""
    plans = ChargePlan.objects.filter(vehicle_id=vehicle_id)
    return plans.filter(Q(state__in=ChargePlan.OPEN_STATES) | Q(closed_at__gt=now - HOLDS)).exists()


def early(seen: Situation, *, engine: RoutingEngine, now: datetime) -> str:
    """`arrival`, `last_charger`, or '': there is no reason to plan for it yet."""
    if seen.soc_low_at or seen.has_session or seen.soc_percent is None or seen.latitude is None or seen.is_silent(now):
        return ""  # a low one is planned for anyway
    if seen.stops:
        return ARRIVAL if first_missed(seen, engine) else ""
    return LAST_CHARGER if _is_last_about_to_pass(seen, now) else ""


def is_over(seen: Situation, cause: str, *, engine: RoutingEngine, now: datetime) -> bool:
    """A reason to plan early is gone, and by more than the next reading may take back."""
    if seen.soc_low_at or seen.has_session or seen.soc_percent is None or seen.latitude is None or seen.is_silent(now):
        return False
    if seen.stops:
        return all(left >= reserve + SPARE_PERCENT for _, left, reserve in _arrivals(seen, engine))
    # Who nears a charger has more and more to spare there; only a charge is a recovery.
    is_full = cause == ARRIVAL or seen.soc_percent >= WATCHED_BELOW_PERCENT
    return is_full and not _is_last_about_to_pass(seen, now)


def first_missed(seen: Situation, engine: RoutingEngine) -> StopAhead | None:
    """The first stop that would be reached with less than the reserve, driving without charging."""
    for stop, left, reserve in _arrivals(seen, engine):
        if not left >= reserve - SHORT_BY_PERCENT:
            return stop
    return None


def _arrivals(seen: Situation, engine: RoutingEngine) -> Iterator[tuple[StopAhead, float, float]]:
    """Each stop with the percent left there and those that should be; without a road to it nothing is left."""
    left = float(seen.soc_percent or 0.0)
    way = np.array([(seen.latitude, seen.longitude), *(stop.place for stop in seen.stops)], float)
    legs = np.diagonal(engine.matrix(way[:-1], way[1:]).metres)
    for stop, metres in zip(seen.stops, legs.tolist(), strict=True):
        leg = {"battery_wh": seen.battery_wh, "distance_m": metres, "wh_per_km": seen.wh_per_km}
        left = energy.arrival_percent(soc_percent=left, **leg)
        yield stop, left, energy.reserve_percent(least_percent=seen.reserve_percent, **leg)


def _is_last_about_to_pass(seen: Situation, now: datetime) -> bool:
    spare = _spare_percent(seen, now)
    return spare is not None and 0 <= spare < SPARE_PERCENT


def _spare_percent(seen: Situation, now: datetime) -> float | None:
    """Above the reserve on arrival at the nearest charger that would do; None: there is none."""
    question = question_of(seen, now=now)
    near = sites.near(*question.here, fits=lambda kind: candidates.suits(question, kind), access=question.access)
    if not near.crow_m:
        return None
    leg = {"battery_wh": seen.battery_wh, "distance_m": near.crow_m[0] * CIRCUITY, "wh_per_km": seen.wh_per_km}
    left = energy.arrival_percent(soc_percent=float(seen.soc_percent or 0.0), **leg)
    return left - energy.reserve_percent(least_percent=seen.reserve_percent, **leg)


def settled(*, now: datetime) -> list[int]:
    """Plans of vehicles under way that may be sent elsewhere for a gain: proposals, and in automatic fleets also what
    nobody accepted by hand and no driver has set off for. Where there are many, they take turns from sweep to sweep."""
    may_move = Q(state="proposed") | Q(
        state__in=("accepted", "reserved"), organisation__dispatch_mode=Organisation.DispatchMode.AUTOMATIC,
        decided_by=None, set_off_at=None,
    )  # fmt: skip
    plans = ChargePlan.objects.filter(
        arrived_at=None, created_at__lt=now - SETTLED_AFTER, plug_in_at__gt=now + SETTLED_AFTER
    )
    found = list(plans.filter(may_move).order_by("pk").values_list("pk", flat=True))
    return _in_turn(found, MOST_IN_A_SWEEP, now)


def gain_paise(answer: deciding.Answer, connector_id: int) -> int:
    """What the best plug saves against the one it is sent to; 0 where that one cannot be judged any more."""
    told = {one.connector_id: one for one in answer.verdicts if not one.problem}
    if answer.best is None or connector_id not in told:
        return 0
    return told[connector_id].total_paise - answer.best.total_paise


def is_worth_moving(answer: deciding.Answer, connector_id: int) -> bool:
    rate = max(LEAST_PAISE_PER_MINUTE, answer.land.rules.cost_per_minute_paise)
    return gain_paise(answer, connector_id) > STAY_MINUTES * rate
