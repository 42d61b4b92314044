"""Plans for many vehicles of one fleet at once: one matching, so that they do not herd to one charger.

Every vehicle is looked at for itself (dispatch.deciding); what each of its plugs would cost it goes into one exact
matching (dispatch.core.assign). A plug has one place in it: the next vehicle's time is not known before the first one
has its plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from dispatch import deciding
from dispatch.core import assign
from dispatch.core.assign import NOWHERE, Candidates, City, Connectors, Vehicles
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.models import ChargePlan
from dispatch.services import planning
from dispatch.services.planning import Want
from dispatch.situation import Situation
from dispatch.speeds.learning import law_of
from fleetcharge.lib.sweeps import survived

PLACES_TO_PROMISE = 1
"""Who comes to an EVSE after another one is planned for alone, behind its window."""
MOST_AT_ONCE = 200


class Looked(NamedTuple):
    want: Want
    seen: Situation
    answer: deciding.Answer
    engine: RoutingEngine


def plan_together(wants: Sequence[Want], *, now: datetime) -> list[ChargePlan]:
    """A plan for each, as plan_charge_stop makes it; those of one fleet share its plugs. The plans that there are now.

    Whom the matching leaves without a plug is planned for alone behind the others, and gets the best that is left, or
    the alert that there is none.
    """
    plans: list[ChargePlan] = []
    for first in range(0, len(wants), MOST_AT_ONCE):
        by_fleet: defaultdict[int, list[Looked]] = defaultdict(list)
        for want in wants[first : first + MOST_AT_ONCE]:
            with survived("vehicle", want.vehicle_id):
                if (known := planning.known_plan(want)) is not None:
                    plans.append(known)
                elif (looked := _look(want, now)) is not None:
                    by_fleet[looked.seen.organisation_id].append(looked)
        for fleet in by_fleet.values():
            plans += _settle_all(fleet, now)
    return plans


def _look(want: Want, now: datetime) -> Looked | None:
    seen = planning.ready(want, now)
    if seen is None:
        return None
    engine = current(law_of(seen.organisation_id, now))
    answer = planning.look(seen, now=now, engine=engine, excluded=want.excluded)
    return Looked(want, seen, answer, engine)


def _settle_all(fleet: Sequence[Looked], now: datetime) -> list[ChargePlan]:
    """Those with a place first: whoever got none is planned for when the places are taken."""
    given = places_of(fleet)
    order = sorted(fleet, key=lambda one: one.want.vehicle_id not in given)
    plans = []
    for looked in order:
        with survived("vehicle", looked.want.vehicle_id):
            plan = _settle(looked, given.get(looked.want.vehicle_id), now)
            plans += [plan] if plan is not None else []
    return plans


def _settle(looked: Looked, connector_id: int | None, now: datetime) -> ChargePlan | None:
    answer: deciding.Answer | None = looked.answer
    if answer is not None and answer.best is not None and answer.best.connector_id != connector_id:
        answer = None if connector_id is None else deciding.beginning_at(answer, connector_id)
    if answer is not None:
        try:
            return planning.settle(looked.seen, looked.want, answer, looked.engine, now)
        except planning.PlugGone:
            pass
    return planning.plan_charge_stop(**looked.want._asdict(), now=now)


def places_of(fleet: Sequence[Looked]) -> dict[int, int]:
    """The plug of each vehicle that gets one, by one matching; two plugs of one EVSE are one place."""
    city, plugs = city_of(fleet)
    return {place.vehicle_id: plugs[place.vehicle_id, place.connector_id] for place in assign.assign(city).places}


def city_of(fleet: Sequence[Looked]) -> tuple[City, dict[tuple[int, int], int]]:
    """The vehicles with what their plugs cost them, and the plug behind each pair of vehicle and EVSE."""
    evses: dict[int, int] = {}
    plugs: dict[tuple[int, int], int] = {}
    rows: list[tuple[int, int, float, float]] = []
    for number, one in enumerate(fleet):
        for verdict in reversed([verdict for verdict in one.answer.verdicts if not verdict.problem]):
            evse_id = one.answer.land.rows[verdict.connector_id].evse_id
            row = evses.setdefault(evse_id, len(evses))
            plugs[one.want.vehicle_id, evse_id] = verdict.connector_id  # the cheaper one comes last
            paise = verdict.price_paise + verdict.risk_paise
            rows.append((number, row, float(verdict.delay_seconds), float(paise)))
    vehicle, connector, seconds, paise_of = zip(*rows, strict=True) if rows else ((), (), (), ())
    return City(
        Vehicles([one.want.vehicle_id for one in fleet], _priorities(fleet), [NOWHERE] * len(fleet)),
        Connectors(list(evses), [0.0] * len(evses), [PLACES_TO_PROMISE] * len(evses)),
        Candidates(vehicle, connector, [0.0] * len(rows), seconds, paise_of),
        paise_per_minute=max(1.0, float(fleet[0].seen.cost_per_minute_paise)) if fleet else 1.0,
    ), plugs  # fmt: skip


def _priorities(fleet: Iterable[Looked]) -> list[float]:
    """A minute of who is empty counts twice that of who has just become low."""
    return [1.0 + max(0.0, 1.0 - float(one.seen.soc_percent or 0.0) / one.seen.clear_percent) for one in fleet]
