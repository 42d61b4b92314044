"""Routes to plan and other ways to find their optimum: the frvcpy package, and trying every whole Wh."""

import random
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from heapq import heappop, heappush
from io import StringIO
from math import dist, inf
from typing import Any

from dispatch.core.curves import ChargeCurve, charge_curve, vehicle_curve
from dispatch.core.routes import Charger, Problem, Stop
from dispatch.core.routes.walk import charging

SHAPE = ((0.0, 0.0), (0.61, 0.85), (0.77, 0.95), (1.0, 1.0))
"""Share of the time to full, share of the battery: the form of the published instances' curves."""
FULL_HOURS = (0.5, 1.0, 2.0)


def like_published(seed: int, *, battery_wh: float = 16_000.0) -> Problem:
    """A route of the published kind: 3 to 10 stops in a square, 3 to 10 chargers of three speeds, 125 Wh/km."""
    dice = random.Random(seed)
    side = dice.choice([40, 80, 120])
    stops, chargers = dice.randint(3, 10), dice.randint(3, 10)
    points = [(dice.uniform(0, side), dice.uniform(0, side)) for _ in range(stops + chargers)]
    if dice.random() < 0.7:
        points[stops - 1] = points[0]
    km = [[dist(a, b) for b in points] for a in points]
    wh_of_shape = tuple(share * battery_wh for _, share in SHAPE)
    curves = [ChargeCurve(tuple(t * hours * 3600 for t, _ in SHAPE), wh_of_shape) for hours in FULL_HOURS]
    wh = [[d * 125 for d in row] for row in km]
    return Problem(
        stops=[Stop(), *(Stop(1800.0) for _ in range(stops - 2)), Stop()],
        chargers=[Charger(n, dice.choice(curves)) for n in range(chargers)],
        seconds=[[d / 40 * 3600 for d in row] for row in km], wh=wh,
        battery_wh=battery_wh, start_wh=battery_wh * dice.choice([0.4, 0.7, 1.0]), final_wh=min(wh[stops - 1][stops:]),
    )  # fmt: skip


def in_a_city(seed: int, *, paise_per_minute: float | None = None, is_clocked: bool = False) -> Problem:
    """8 stops and 40 chargers of four powers, a small van between 15 and 60 %, reserve and share of the leg."""
    dice = random.Random(seed)
    points = [(dice.gauss(0, 12), dice.gauss(0, 12)) for _ in range(48)]
    km = [[1.35 * dist(a, b) for b in points] for a in points]
    power = vehicle_curve([], 30_000)
    kinds = [charge_curve(power, battery_wh=21_300, plug_power_w=watts) for watts in (7_400, 15_000, 30_000, 60_000)]
    chargers = []
    for number in range(40):
        curve = dice.choice(kinds)
        assert curve is not None
        hours = ((dice.uniform(0, 3_000), dice.uniform(9_000, 40_000)),)
        one = Charger(
            number, curve, wait_seconds=120.0 + dice.choice([0, 0, 300, 900]), ready_seconds=dice.uniform(0, 3_000),
            hours=hours, paise_per_kwh=dice.choice([1_500.0, 1_800.0, 2_200.0]),
        )  # fmt: skip
        chargers.append(one if is_clocked else replace(one, ready_seconds=0.0, hours=()))
    return Problem(
        stops=[Stop(), *(Stop(300.0) for _ in range(7))], chargers=chargers,
        seconds=[[d / 28 * 3600 for d in row] for row in km], wh=[[d * 161 for d in row] for row in km],
        battery_wh=21_300.0, start_wh=21_300 * dice.uniform(0.15, 0.6), reserve_wh=1_065.0, reserve_share_of_leg=0.15,
        paise_per_minute=paise_per_minute,
    )  # fmt: skip


def by_frvcpy(problem: Problem) -> float:
    """The least seconds that frvcpy finds; inf when it finds no way."""
    from frvcpy import solver  # type: ignore[import-untyped]

    kinds = list(dict.fromkeys(one.curve for one in problem.chargers))
    first = len(problem.stops)
    instance = {
        "max_q": problem.battery_wh, "energy_matrix": problem.wh, "time_matrix": problem.seconds,
        "process_times": [stop.service_seconds for stop in problem.stops] + [0] * len(problem.chargers),
        "css": [{"node_id": first + n, "cs_type": kinds.index(one.curve)} for n, one in enumerate(problem.chargers)],
        "breakpoints_by_type": [
            {"cs_type": n, "time": list(curve.seconds), "charge": list(curve.wh)} for n, curve in enumerate(kinds)
        ],
    }  # fmt: skip
    with redirect_stdout(StringIO()):
        return float(solver.Solver(instance, list(range(first)), problem.start_wh).solve()[0])


def published(instance: dict[str, Any], route: Sequence[int]) -> Problem:
    """A published route, in hours there: full battery at the start, and enough at the end to reach a charger."""
    curves = {
        kind["cs_type"]: _curve([hours * 3600 for hours in kind["time"]], kind["charge"])
        for kind in instance["breakpoints_by_type"]
    }
    nodes = [*route, *(one["node_id"] for one in instance["css"])]
    hours, wh = instance["time_matrix"], instance["energy_matrix"]
    return Problem(
        stops=[Stop(instance["process_times"][node] * 3600.0) for node in route],
        chargers=[Charger(one["node_id"], curves[one["cs_type"]]) for one in instance["css"]],
        seconds=[[hours[a][b] * 3600 for b in nodes] for a in nodes],
        wh=[[wh[a][b] for b in nodes] for a in nodes],
        battery_wh=instance["max_q"], start_wh=instance["max_q"],
        final_wh=min(wh[route[-1]][one["node_id"]] for one in instance["css"]),
    )  # fmt: skip


def in_small_numbers(seed: int, **variants: bool) -> Problem:
    """A tiny route whose figures are whole, so that trying every whole Wh tries the best one too.

    `variants`: waits, reserve, hours, windows, prices, bands.
    """
    dice = random.Random(seed)
    stops, chargers, battery = dice.randint(2, 4), dice.randint(1, 3), dice.choice([16, 24])
    points = [(dice.randint(0, 10), dice.randint(0, 10)) for _ in range(stops + chargers)]
    legs = [[2 * (abs(a[0] - b[0]) + abs(a[1] - b[1])) for b in points] for a in points]
    at = [[float(leg) for leg in row] for row in legs]
    return Problem(
        stops=[_small_stop(dice, n, variants) for n in range(stops)],
        chargers=[_small_charger(dice, n, battery, variants) for n in range(chargers)],
        seconds=at, wh=[[leg / 2 for leg in row] for row in at], battery_wh=float(battery),
        start_wh=float(dice.randint(battery // 4, battery)), reserve_wh=2.0 if variants.get("reserve") else 0.0,
        reserve_share_of_leg=0.5 if variants.get("reserve") and dice.random() < 0.5 else 0.0,
        final_wh=float(dice.choice([0, 0, 6])), paise_per_minute=60.0 if variants.get("prices") else None,
        battery_per_metered=1.0,
    )  # fmt: skip


def _small_stop(dice: random.Random, number: int, variants: dict[str, bool]) -> Stop:
    if not number or not variants.get("windows") or dice.random() < 0.5:
        return Stop(float(4 * bool(number)))
    opens = dice.choice([None, float(4 * dice.randint(2, 20))])
    return Stop(4.0, opens, (opens or 0.0) + 4 * dice.randint(4, 30))


def _small_charger(dice: random.Random, number: int, battery: int, variants: dict[str, bool]) -> Charger:
    fast, slow = dice.choice([(1, 1), (1, 2), (1, 4), (2, 4), (4, 4)])
    bend, top = battery * 3 // 4, battery - 2 * (dice.random() < 0.3 and not variants.get("reserve"))
    curve = ChargeCurve(
        (0.0, float(bend * fast), float(bend * fast + (top - bend) * slow)), (0.0, float(bend), float(top))
    )
    hours: Sequence[tuple[float, float]] = ()
    if variants.get("hours") and dice.random() < 0.7:
        opens = 4.0 * dice.randint(0, 12)
        closes = opens + 4 * dice.randint(1, 10)
        hours = ((opens, closes), (closes + 4 * dice.randint(1, 6), closes + 200))[: dice.randint(1, 2)]
    waits = bool(variants.get("waits"))
    return Charger(
        number, curve, wait_seconds=4.0 * dice.randint(0, 3) * waits,
        ready_seconds=4.0 * dice.randint(0, 15) * (waits and dice.random() < 0.6), hours=hours,
        paise_per_kwh=1000.0 * dice.randint(0, 8), fee_paise=float(dice.choice([0, 0, 5])),
        price_bands=((4.0 * dice.randint(2, 20), 1000.0 * dice.randint(0, 8)),) if variants.get("bands") else (),
    )  # fmt: skip


def _curve(seconds: Sequence[float], wh: Sequence[float]) -> ChargeCurve:
    return ChargeCurve(tuple(map(float, seconds)), tuple(map(float, wh)))


def by_trying_everything(problem: Problem) -> float:
    """The best objective over all plans that charge in whole Wh; inf when there is none. Exact for them, and slow."""
    first, minute = len(problem.stops), problem.paise_per_minute

    def objective(now: float, paise: float) -> float:
        return now if minute is None else now / 60 * minute + paise

    seen: dict[tuple[int, int, float, bool], list[tuple[float, float]]] = {}
    heap = [(0.0, 0.0, 0.0, 0, 0, problem.start_wh, False)]
    while heap:
        worth, now, paise, stop, place, wh, is_plugged = heappop(heap)
        known = seen.setdefault((stop, place, wh, is_plugged), [])
        if any(t <= now and p <= paise for t, p in known):
            continue
        known.append((now, paise))
        if stop == first - 1:
            return worth
        for after in _steps(problem, now, paise, stop, place, wh, is_plugged):
            heappush(heap, (objective(after[0], after[1]), *after))
    return inf


Step = tuple[float, float, int, int, float, bool]


def _steps(
    problem: Problem, now: float, paise: float, stop: int, place: int, wh: float, is_plugged: bool
) -> Iterator[Step]:
    first = len(problem.stops)
    for to in [stop + 1, *range(first, first + len(problem.chargers))]:
        seconds, takes = problem.seconds[place][to], problem.wh[place][to]
        if to == place or seconds is None or takes is None or wh - takes < problem.least_wh(place, to):
            continue
        arrives, left = now + seconds, wh - takes
        if to >= first:
            charger = problem.chargers[to - first]
            paid = 0.0 if problem.paise_per_minute is None else charger.fee_paise
            plugged = charging(charger, arrives + charger.wait_seconds, left, left, problem.battery_per_metered)
            if plugged.ends < inf:  # it opens once more
                yield plugged.starts, paise + paid, stop, to, left, True
            continue
        limits = problem.stops[to]
        if limits.latest_seconds is None or arrives <= limits.latest_seconds:
            begins = max(arrives, limits.earliest_seconds or 0.0)
            yield begins + limits.service_seconds, paise, to, to, left, False
    if is_plugged and wh + 1 <= problem.chargers[place - first].curve.wh[-1]:
        charger = problem.chargers[place - first]
        done = charging(charger, now, wh, wh + 1, problem.battery_per_metered)
        if done.ends < inf:
            paid = 0.0 if problem.paise_per_minute is None else done.paise
            yield done.ends, paise + paid, stop, place, wh + 1, True
