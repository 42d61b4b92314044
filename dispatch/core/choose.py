"""Which plug? Every candidate gets its minutes and rupees; the cheapest one that can be reached wins."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dispatch.core import VERSION, curves, energy

ASSUMED_PAISE_PER_KWH = 2400
"""For ranking where no tariff is known; such a plan shows no cost."""
RISK = {"live": 0.03, "recent": 0.10}
RISK_BUSY, RISK_NOT_RESERVABLE, RISK_NETWORK_FAILING = 0.35, 0.08, 0.25
"""Chance that the plug cannot be used on arrival, by how it is known; added up, at most RISK_AT_MOST."""
RISK_AT_MOST = 0.9
RISK_OF_A_LIAR = 0.6
"""For a network whose free plugs are never free; less as its word proves true."""
FALLBACK_MINUTES = 25.0
"""What a wasted trip costs: find the next plug, drive there."""
FAST_SHARE, FAST_POWER_W = 0.6, 25_000


@dataclass(frozen=True)
class VehicleFacts:
    """The vehicle at the moment of decision. `curve_points` are [soc_percent, power_w]."""

    soc_percent: float
    battery_wh: float
    wh_per_km: float
    max_dc_power_w: float
    max_ac_power_w: float
    curve_points: Sequence[Sequence[float]] = ()

    def power_w(self, *, is_dc: bool, plug_power_w: float) -> float:
        return min(self.max_dc_power_w if is_dc else self.max_ac_power_w, plug_power_w)

    def is_fast(self, *, is_dc: bool, plug_power_w: float) -> bool:
        """A plug is fast for this vehicle when it gives most of what the vehicle could take, or 25 kW anyway."""
        power = self.power_w(is_dc=is_dc, plug_power_w=plug_power_w)
        best = max(self.max_dc_power_w, self.max_ac_power_w)
        return power > 0 and (power >= FAST_POWER_W or power >= FAST_SHARE * best)


@dataclass(frozen=True)
class Rules:
    """What the fleet wants. `direct_*` is the way to the next stop without charging; None without a stop."""

    reserve_percent: float
    target_percent: float
    cost_per_minute_paise: float
    direct_m: float | None = None
    direct_seconds: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One plug and the way to it. `onward_*` is from there to the next stop. `price_paise` None: no tariff known."""

    connector_id: int
    location_id: int
    station: str
    is_dc: bool
    plug_power_w: float
    drive_m: float
    drive_seconds: float
    onward_m: float | None
    onward_seconds: float | None
    freshness: str
    is_free: bool
    is_reservable: bool
    wait_seconds: float
    price_paise: int | None = None
    is_network_failing: bool = False
    truth_percent: int | None = None
    """Of plugs its network showed as free, how many were; None: too little is known."""
    wait_p90_seconds: float | None = None
    """At most so long in nine of ten cases; `wait_seconds` in one of two."""
    p_unusable: float | None = None
    """By its health; None: nothing is known of it."""
    p_taken: float | None = None
    """That somebody else has plugged in at the free plug by then; None: nothing is known."""
    curve_points: Sequence[Sequence[float]] = ()
    """[soc_percent, power_w] that vehicles of this model took there."""


@dataclass(frozen=True)
class Verdict:
    """A candidate with its figures. `problem` says why it is out: unreachable, no_power, onward_too_far."""

    connector_id: int
    location_id: int
    station: str
    problem: str
    arrival_soc_percent: float
    deficit_wh: int
    target_soc_percent: float
    energy_wh: int
    drive_seconds: int
    wait_seconds: int
    charge_seconds: int
    distance_m: int
    detour_m: int
    delay_seconds: int
    cost_paise: int | None
    time_paise: int
    price_paise: int
    risk_paise: int
    total_paise: int
    is_network_failing: bool = False
    wait_p90_seconds: int | None = None
    risk: float | None = None
    """Chance that the plug cannot be used on arrival; None in plans of before it was told."""


@dataclass(frozen=True)
class Choice:
    best: Verdict | None
    ranking: tuple[Verdict, ...]
    deficit_wh: int
    """Missing to the nearest plug when nothing can be reached (0 when something can)."""
    reach_m: int
    core_version: str = VERSION


def _curve(vehicle: VehicleFacts, *, is_dc: bool) -> curves.Curve:
    points, peak = (vehicle.curve_points, vehicle.max_dc_power_w) if is_dc else ((), vehicle.max_ac_power_w)
    return curves.vehicle_curve(points, peak)


def curve_at(vehicle: VehicleFacts, *, is_dc: bool, learned: Sequence[Sequence[float]] = ()) -> curves.Curve:
    """What the vehicle takes at a plug: as was measured there with its model, else as its maker says."""
    curve = _curve(vehicle, is_dc=is_dc)
    return curves.with_learned(curve, learned) if learned else curve


def charge_seconds(
    vehicle: VehicleFacts, *, is_dc: bool, plug_power_w: float, from_percent: float, to_percent: float,
    learned: Sequence[Sequence[float]] = (),
) -> float:  # fmt: skip
    """At a plug from one state of charge to another; infinite when no power flows."""
    return curves.charge_seconds(
        curve_at(vehicle, is_dc=is_dc, learned=learned), battery_wh=vehicle.battery_wh, plug_power_w=plug_power_w,
        from_percent=from_percent, to_percent=to_percent,
    )  # fmt: skip


def _judge(vehicle: VehicleFacts, rules: Rules, candidate: Candidate, curve: curves.Curve) -> Verdict:
    """The figures of one candidate."""
    arrival, missing_wh = _arrival(vehicle, rules, candidate)
    target = target_of(vehicle, rules, onward_m=candidate.onward_m, arrival_percent=arrival)
    seconds = curves.charge_seconds(
        curve, battery_wh=vehicle.battery_wh, plug_power_w=candidate.plug_power_w,
        from_percent=arrival, to_percent=target,
    )  # fmt: skip
    has_power = seconds != float("inf")
    problem = "unreachable" if missing_wh > 0 else "" if has_power else "no_power"
    return _priced(vehicle, rules, candidate, problem, arrival, missing_wh, target, seconds if has_power else 0.0)


def choose(vehicle: VehicleFacts, rules: Rules, candidates: Sequence[Candidate]) -> Choice:
    """The best candidate by rupees, all of them ranked, and what is missing when none can be reached."""
    takes = {is_dc: _curve(vehicle, is_dc=is_dc) for is_dc in {one.is_dc for one in candidates}}
    verdicts = [_judge(vehicle, rules, one, _curve_of(one, takes[one.is_dc])) for one in candidates]
    ranking = tuple(sorted(verdicts, key=lambda one: (bool(one.problem), one.total_paise, one.connector_id)))
    best = ranking[0] if ranking and not ranking[0].problem else None
    deficits = [one.deficit_wh for one in verdicts if one.problem == "unreachable"]
    reach = energy.reach_m(
        soc_percent=vehicle.soc_percent, least_percent=rules.reserve_percent,
        battery_wh=vehicle.battery_wh, wh_per_km=vehicle.wh_per_km,
    )  # fmt: skip
    return Choice(best, ranking, 0 if best else min(deficits, default=0), round(reach))


def curve_of(vehicle: VehicleFacts, candidate: Candidate) -> curves.Curve:
    """What the vehicle takes at a plug, by percent, as far as the vehicle decides it."""
    return _curve_of(candidate, _curve(vehicle, is_dc=candidate.is_dc))


def _curve_of(candidate: Candidate, curve: curves.Curve) -> curves.Curve:
    return curves.with_learned(curve, candidate.curve_points) if candidate.curve_points else curve


def snapshot_of(vehicle: VehicleFacts, rules: Rules, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Everything a decision rests on, as JSON."""
    return {
        "core_version": VERSION,
        "vehicle": asdict(vehicle),
        "rules": asdict(rules),
        "candidates": [dict(vars(candidate)) for candidate in candidates],  # flat, and asdict copies deeply
    }


def replay(snapshot: Mapping[str, Any]) -> Choice:
    """Decide again from a stored snapshot."""
    candidates = [Candidate(**values) for values in snapshot["candidates"]]
    return choose(VehicleFacts(**snapshot["vehicle"]), Rules(**snapshot["rules"]), candidates)


def _arrival(vehicle: VehicleFacts, rules: Rules, candidate: Candidate) -> tuple[float, float]:
    """State of charge on arrival, and the Wh missing to arrive with the reserve."""
    leg = {"battery_wh": vehicle.battery_wh, "distance_m": candidate.drive_m, "wh_per_km": vehicle.wh_per_km}
    arrival = energy.arrival_percent(soc_percent=vehicle.soc_percent, **leg)
    reserve = energy.reserve_percent(least_percent=rules.reserve_percent, **leg)
    return arrival, max(0.0, reserve - arrival) / 100 * vehicle.battery_wh


def target_of(vehicle: VehicleFacts, rules: Rules, *, onward_m: float | None, arrival_percent: float) -> float:
    """Percent to charge to: the fleet's target, or what the way on to the next stop takes; never below arrival."""
    onward = energy.leg_wh(onward_m or 0.0, vehicle.wh_per_km) / vehicle.battery_wh * 100
    return min(100.0, max(rules.target_percent, onward + rules.reserve_percent, arrival_percent))


def _priced(
    vehicle: VehicleFacts, rules: Rules, candidate: Candidate, problem: str, arrival: float, missing_wh: float,
    target: float, charging: float,
) -> Verdict:  # fmt: skip
    detour_m, detour_seconds = _detour(rules, candidate)
    delay = max(0.0, detour_seconds) + candidate.wait_seconds + charging
    wh = curves.metered_wh(battery_wh=vehicle.battery_wh, from_percent=max(0.0, arrival), to_percent=target)
    time_paise = round(delay / 60 * rules.cost_per_minute_paise)
    price = candidate.price_paise
    price_paise = round(wh / 1000 * ASSUMED_PAISE_PER_KWH) if price is None else price
    risk = risk_of(candidate)
    wait_p90 = wait_p90_of(candidate, drive_seconds=candidate.drive_seconds, wait_seconds=candidate.wait_seconds)
    risk_paise = round(risk * FALLBACK_MINUTES * rules.cost_per_minute_paise)
    return Verdict(
        connector_id=candidate.connector_id, location_id=candidate.location_id, station=candidate.station,
        problem=problem, arrival_soc_percent=round(arrival, 1), deficit_wh=round(missing_wh),
        target_soc_percent=round(target, 1), energy_wh=round(wh), drive_seconds=round(candidate.drive_seconds),
        wait_seconds=round(candidate.wait_seconds), charge_seconds=round(charging),
        distance_m=round(candidate.drive_m), detour_m=round(max(0.0, detour_m)), delay_seconds=round(delay),
        cost_paise=price, time_paise=time_paise, price_paise=price_paise, risk_paise=risk_paise,
        total_paise=time_paise + price_paise + risk_paise, is_network_failing=candidate.is_network_failing,
        wait_p90_seconds=wait_p90, risk=round(risk, 3),
    )  # fmt: skip


def risk_of(candidate: Candidate) -> float:
    """Chance that the plug cannot be used on arrival."""
    risk = max(RISK.get(candidate.freshness, RISK_AT_MOST), candidate.p_unusable or 0.0)
    risk += 0.0 if candidate.is_free else RISK_BUSY
    risk += 0.0 if candidate.is_reservable else _risk_of_strangers(candidate)
    risk += RISK_NETWORK_FAILING if candidate.is_network_failing else 0.0
    if candidate.truth_percent is not None and candidate.is_free:
        risk += RISK_OF_A_LIAR * (1 - candidate.truth_percent / 100)
    return min(RISK_AT_MOST, risk)


def wait_p90_of(candidate: Candidate, *, drive_seconds: float, wait_seconds: float) -> int | None:
    """At most so long in nine of ten cases, for who gets there after this drive; None: not known."""
    if candidate.wait_p90_seconds is None:
        return None
    ready_seconds = candidate.drive_seconds + candidate.wait_p90_seconds
    return round(max(wait_seconds, ready_seconds - drive_seconds))


def _risk_of_strangers(candidate: Candidate) -> float:
    """Nobody can be kept from a plug that cannot be reserved."""
    return RISK_NOT_RESERVABLE if candidate.p_taken is None or not candidate.is_free else candidate.p_taken


def _detour(rules: Rules, candidate: Candidate) -> tuple[float, float]:
    """Extra metres and seconds against driving straight to the next stop; the way there when there is no stop."""
    if candidate.onward_m is None or candidate.onward_seconds is None or rules.direct_m is None:
        return candidate.drive_m, candidate.drive_seconds
    direct_seconds = rules.direct_seconds or 0.0
    extra_seconds = candidate.drive_seconds + candidate.onward_seconds - direct_seconds
    return candidate.drive_m + candidate.onward_m - rules.direct_m, extra_seconds
