"""Plans for many vehicles of one fleet at once: one matching, so that they do not herd to one charger.

Every vehicle is looked at for itself (dispatch.deciding); what each of its plugs would cost it goes into one exact
matching (dispatch.core.assign). A plug has one place in it: the next vehicle's time is not known before the first one
has its plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from dispatch import candidates, deciding, situation
from dispatch.candidates import Question
from dispatch.core import assign
from dispatch.core.assign import NOWHERE, Candidates, City, Connectors, Vehicles
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.models import ChargePlan
from dispatch.questions import question_of
from dispatch.services import decisions, planning
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
        plans += _planned(wants[first : first + MOST_AT_ONCE], now)
    return plans


def _planned(wants: Sequence[Want], now: datetime) -> list[ChargePlan]:
    """All together; where one of them makes that impossible, each alone, and those that have their plan keep it."""
    with survived("vehicles", [want.vehicle_id for want in wants]):
        return _shared_out(wants, now)
    plans = []
    for want in wants:
        with survived("vehicle", want.vehicle_id):
            plan = planning.plan_charge_stop(**want._asdict(), now=now)
            plans += [plan] if plan is not None else []
    return plans


def _shared_out(wants: Sequence[Want], now: datetime) -> list[ChargePlan]:
    known = planning.known_plans(wants)
    plans = list(known.values())
    for fleet in _looked_at([want for want in wants if want.trigger_key not in known], now):
        plans += _settle_all(fleet, now)
    return plans


def _looked_at(wants: Sequence[Want], now: datetime) -> list[list[Looked]]:
    """What is best for each vehicle alone, by fleet; what they have in common is read once."""
    situations = situation.read_each([want.vehicle_id for want in wants], now=now)
    fleets: defaultdict[int, list[tuple[Want, Situation]]] = defaultdict(list)
    for want in wants:
        with survived("vehicle", want.vehicle_id):
            if (seen := planning.seen_for(want, situations[want.vehicle_id], now)) is not None:
                fleets[seen.organisation_id].append((want, seen))
    return [_look_each(fleet, now) for fleet in fleets.values()]


def _look_each(fleet: Sequence[tuple[Want, Situation]], now: datetime) -> list[Looked]:
    law = law_of(fleet[0][1].organisation_id, now)
    asked = [
        (want, seen, question_of(seen, now=now, excluded=want.excluded, promised=want.promised)) for want, seen in fleet
    ]
    by_model: defaultdict[int, list[Question]] = defaultdict(list)
    for _, seen, question in asked:
        by_model[seen.model_id].append(question)
    around = candidates.around_each(by_model)
    looked = []
    for want, seen, question in asked:
        with survived("vehicle", want.vehicle_id):
            engine = current(law)  # each plan has its own time
            answer = planning.decided(seen, question, engine, around[want.vehicle_id])
            looked.append(Looked(want, seen, answer, engine))
    return looked


def _settle_all(fleet: Sequence[Looked], now: datetime) -> list[ChargePlan]:
    """Those with a place first, all at once: whoever got none is planned for when the places are taken."""
    given = places_of(fleet)
    plans = _store_each([one for one in fleet if one.want.vehicle_id in given], given, now)
    left = [one for one in fleet if one.want.vehicle_id not in {plan.vehicle_id for plan in plans}]
    for looked in sorted(left, key=lambda one: one.want.vehicle_id not in given):
        with survived("vehicle", looked.want.vehicle_id):
            plan = _settle(looked, given.get(looked.want.vehicle_id), now)
            plans += [plan] if plan is not None else []
    return plans


def _store_each(fleet: Sequence[Looked], given: dict[int, int], now: datetime) -> list[ChargePlan]:
    """The plans of those whose place is still to be had; in automatic mode they are accepted at once."""
    drafts = []
    for one in fleet:
        with survived("vehicle", one.want.vehicle_id):
            answer = _answer_at(one, given[one.want.vehicle_id])
            drafts += [planning.drafted(one.seen, one.want, answer, one.engine)] if answer else []
    stored = planning.store_each(drafts, now)
    return _accepted_each(stored, now) if fleet and fleet[0].seen.is_automatic else stored


def _accepted_each(plans: Sequence[ChargePlan], now: datetime) -> list[ChargePlan]:
    """All at once; those that something stands in the way of, each alone."""
    accepted: dict[int, ChargePlan] = {}
    with survived("plans", [plan.pk for plan in plans]):
        each = decisions.accept_each(plans, actor_label=planning.BY_ITSELF, now=now)
        accepted = {plan.pk: plan for plan in each}
    return [accepted.get(plan.pk) or _accepted(plan, now) for plan in plans]


def _accepted(plan: ChargePlan, now: datetime) -> ChargePlan:
    """In automatic mode; what goes wrong with one leaves it as a proposal."""
    with survived("plan", plan.pk):
        return planning.accept_by_itself(plan, now)
    return plan


def _answer_at(looked: Looked, connector_id: int) -> deciding.Answer | None:
    """What was found for the vehicle, with the plug that the matching gave it; None: it cannot charge there."""
    best = looked.answer.best
    if best is not None and best.connector_id == connector_id:
        return looked.answer
    return deciding.beginning_at(looked.answer, connector_id)


def _settle(looked: Looked, connector_id: int | None, now: datetime) -> ChargePlan | None:
    """One that was not stored with the others: its place is gone, or there was none for it."""
    if looked.answer.best is None:
        return planning.settle(looked.seen, looked.want, looked.answer, looked.engine, now)
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
