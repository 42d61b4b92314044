"""Does the evidence agree that this vehicle charged here? Rules add points, missing evidence adds none. Pure.

Distances in metres, energy in Wh, speed in km/h, charge in percent. Words stay neutral: a person decides.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from json import dumps
from typing import Any

from fleetcharge.lib.geo import distance_m

RULESET_VERSION = "2026-11.1"

VERIFIED, INCONCLUSIVE, REVIEW, BLOCKED = "verified", "inconclusive", "review", "blocked"
REVIEW_FROM, BLOCK_FROM = 20, 60

NEAR_MISS_M = 250
DEFAULT_ACCURACY_M = 20
STANDING_KMH = 5.0
MOVING_SECONDS = 60
MOVING_M = 300
DELIVERING_W = 500
LONGEST_GAP = timedelta(minutes=10)
NEAR_MOMENT = timedelta(minutes=10)
NO_DATA = timedelta(minutes=20)
SHIFT_GRACE = timedelta(minutes=30)
SOC_FRESH = timedelta(minutes=30)
PRESENT_SHARE = 0.5
CHARGE_LOSS = 0.85
EFFICIENCY_AC, EFFICIENCY_DC = 0.88, 0.94


@dataclass(frozen=True)
class Ping:
    """Where the tracker was. `accuracy_m` and the rest are None when it did not say."""

    at: datetime
    latitude: float
    longitude: float
    speed_kmh: float | None = None
    accuracy_m: int | None = None
    soc_percent: float | None = None


@dataclass(frozen=True)
class PowerSample:
    """The charger delivered `power_w` from `at` until the next sample."""

    at: datetime
    power_w: int


@dataclass(frozen=True)
class ShiftWindow:
    starts_at: datetime
    ends_at: datetime
    driver_id: int


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict rests on; stored beside it, so that it can be judged again for years."""

    started_at: datetime
    ended_at: datetime
    energy_wh: int
    latitude: float
    longitude: float
    base_radius_m: int
    pings: tuple[Ping, ...] = ()
    power: tuple[PowerSample, ...] = ()
    shifts: tuple[ShiftWindow, ...] = ()
    has_vehicle: bool = True
    has_shift_plan: bool = False
    token_driver_id: int | None = None
    usable_wh: int | None = None
    is_dc: bool = True
    charger_soc_start_percent: float | None = None
    charger_soc_end_percent: float | None = None


@dataclass(frozen=True)
class Finding:
    """What one rule saw. `is_inconclusive`: the rule had nothing to look at."""

    rule: str
    points: int
    text: str
    evidence: dict[str, Any] = field(default_factory=dict)
    is_inconclusive: bool = False


@dataclass(frozen=True)
class Judgement:
    verdict: str
    points: int
    findings: tuple[Finding, ...]
    is_presence_proven: bool


def judge(evidence: Evidence) -> Judgement:
    """The verdict, its points and what was found; the same evidence always gives the same answer."""
    findings = [
        finding
        for finding in (_location(evidence), _moving(evidence), *_shift(evidence), _capacity(evidence), _soc(evidence))
        if finding is not None
    ]
    points = sum(finding.points for finding in findings)
    is_present = present_share(evidence) >= PRESENT_SHARE
    if points >= BLOCK_FROM:
        verdict = BLOCKED
    elif points >= REVIEW_FROM:
        verdict = REVIEW
    else:
        verdict = VERIFIED if is_present else INCONCLUSIVE
    return Judgement(verdict, points, tuple(findings), is_present)


def input_hash(evidence: Evidence) -> str:
    """Names the evidence and the rules; equal hashes mean equal verdicts."""
    return sha256(f"{RULESET_VERSION}{dumps(as_json(evidence), sort_keys=True)}".encode()).hexdigest()


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Plain JSON; `from_json` gives the same evidence again."""
    plain: dict[str, Any] = _plain(asdict(evidence))
    return plain


def from_json(stored: dict[str, Any]) -> Evidence:
    at = datetime.fromisoformat
    return Evidence(
        **{
            **stored,
            "started_at": at(stored["started_at"]),
            "ended_at": at(stored["ended_at"]),
            "pings": tuple(Ping(**{**ping, "at": at(ping["at"])}) for ping in stored["pings"]),
            "power": tuple(PowerSample(at(sample["at"]), sample["power_w"]) for sample in stored["power"]),
            "shifts": tuple(
                ShiftWindow(at(shift["starts_at"]), at(shift["ends_at"]), shift["driver_id"])
                for shift in stored["shifts"]
            ),
        }
    )


# --- L: was the vehicle there? ------------------------------------------------------------------------------------


def present_share(evidence: Evidence) -> float:
    """Share of the pinged time of the session that the vehicle stood within the radius (0 without pings)."""
    inside = total = 0.0
    pings = _during(evidence)
    for index, ping in enumerate(pings):
        until = pings[index + 1].at if index + 1 < len(pings) else evidence.ended_at
        weight = max(1.0, min(until - ping.at, LONGEST_GAP).total_seconds())
        total += weight
        is_standing = ping.speed_kmh is None or ping.speed_kmh < STANDING_KMH
        if is_standing and _distance(evidence, ping) <= _radius(evidence, ping):
            inside += weight
    return inside / total if total else 0.0


def _location(evidence: Evidence) -> Finding | None:
    """L1 absent, L2 near miss, L3 no data."""
    if not evidence.has_vehicle:
        return Finding("L3", 0, "The token names no vehicle, so there is no track to compare", {}, True)
    span = (evidence.started_at - NO_DATA, evidence.ended_at + NO_DATA)
    around = [ping for ping in evidence.pings if span[0] <= ping.at <= span[1]]
    if not around:
        return Finding("L3", 0, "The tracker sent nothing around the session", _gap(evidence), True)
    middle = evidence.started_at + (evidence.ended_at - evidence.started_at) / 2
    if not (_has_near(around, evidence.started_at) and _has_near(around, middle)):
        return None
    seen = _during(evidence) or [ping for ping in around if abs(ping.at - middle) <= NEAR_MOMENT]
    nearest = min(seen, key=lambda ping: (_distance(evidence, ping), ping.at))
    away, radius = _distance(evidence, nearest), _radius(evidence, nearest)
    facts = {
        "distance_m": round(away), "radius_m": radius, "at": nearest.at.isoformat(),
        "latitude": nearest.latitude, "longitude": nearest.longitude, "pings": len(seen),
    }  # fmt: skip
    if away > radius + NEAR_MISS_M:
        return Finding("L1", 60, f"The tracker was never closer than {_spoken(away)} to the station", facts)
    if away > radius:
        return Finding("L2", 15, f"The tracker was {_spoken(away)} from the station; its coordinates may be off", facts)
    return None


def _moving(evidence: Evidence) -> Finding | None:
    """L4: the tracker moved while the charger delivered."""
    seconds, farthest = 0.0, 0.0
    for start, end in _deliveries(evidence):
        pings = [ping for ping in evidence.pings if start <= ping.at <= end]
        for ping, following in pairwise(pings):
            if min(ping.speed_kmh or 0, following.speed_kmh or 0) > STANDING_KMH:
                seconds += min(following.at - ping.at, LONGEST_GAP).total_seconds()
        if pings:
            farthest = max(farthest, max(_between(pings[0], ping) - _blur(pings[0], ping) for ping in pings))
    if seconds < MOVING_SECONDS and farthest <= MOVING_M:
        return None
    facts = {"moving_seconds": round(seconds), "travelled_m": round(farthest)}
    return Finding("L4", 50, "The tracker moved while the charger delivered energy", facts)


def _deliveries(evidence: Evidence) -> list[tuple[datetime, datetime]]:
    """Stretches of unbroken delivery."""
    stretches: list[tuple[datetime, datetime]] = []
    since: datetime | None = None
    for sample in evidence.power:
        if sample.power_w > DELIVERING_W:
            since = since or sample.at
        elif since is not None:
            stretches.append((since, sample.at))
            since = None
    if since is not None:
        stretches.append((since, evidence.ended_at))
    return stretches


# --- T: was it planned so? ----------------------------------------------------------------------------------------


def _shift(evidence: Evidence) -> list[Finding]:
    """T1 outside the shift, T2 another driver's card."""
    if not evidence.has_shift_plan:
        return [Finding("T1", 0, "No shifts are planned for this vehicle", {}, True)] if evidence.has_vehicle else []
    on_duty = [
        shift
        for shift in evidence.shifts
        if shift.starts_at - SHIFT_GRACE <= evidence.started_at <= shift.ends_at + SHIFT_GRACE
    ]
    facts: dict[str, Any] = {
        "started_at": evidence.started_at.isoformat(),
        "shifts": [_plain(asdict(shift)) for shift in evidence.shifts],
    }
    if not on_duty:
        return [Finding("T1", 25, "The session began outside the vehicle's shifts", facts)]
    drivers = {shift.driver_id for shift in on_duty}
    if evidence.token_driver_id is not None and evidence.token_driver_id not in drivers:
        facts["token_driver_id"] = evidence.token_driver_id
        return [Finding("T2", 20, "The card belongs to another driver than the one on shift", facts)]
    return []


# --- E: does the energy fit the battery? --------------------------------------------------------------------------


def _capacity(evidence: Evidence) -> Finding | None:
    """E1: more than the battery could take, with a loss of 15 % and 1 kWh to spare."""
    if not evidence.usable_wh:
        return None
    before = _soc_before(evidence)
    room_percent = 100 - (before[0] if before else 0)
    limit_wh = evidence.usable_wh * room_percent / 100 / CHARGE_LOSS + 1_000
    if evidence.energy_wh <= limit_wh:
        return None
    facts = {
        "energy_wh": evidence.energy_wh, "limit_wh": round(limit_wh), "usable_wh": evidence.usable_wh,
        "soc_start_percent": before[0] if before else None,
    }  # fmt: skip
    return Finding("E1", 50, "More energy than this battery can take", facts)


def _soc(evidence: Evidence) -> Finding | None:
    """E2 charge does not match the energy, E3 no rise at all."""
    before, after = _soc_before(evidence), _soc_after(evidence)
    if before is None or after is None or not evidence.usable_wh:
        return Finding("E2", 0, "No fresh state of charge on both sides of the session", {}, True)
    rise = after[0] - before[0]
    facts: dict[str, Any] = {
        "soc_before_percent": before[0], "soc_before_from": before[1],
        "soc_after_percent": after[0], "soc_after_from": after[1], "energy_wh": evidence.energy_wh,
    }  # fmt: skip
    if evidence.energy_wh >= 3_000 and rise <= 1:
        return Finding("E3", 50, "The state of charge did not rise", facts)
    expected_wh = rise / 100 * evidence.usable_wh / (EFFICIENCY_DC if evidence.is_dc else EFFICIENCY_AC)
    off_wh = abs(evidence.energy_wh - expected_wh)
    if off_wh <= max(0.15 * abs(expected_wh), 1_500, 0.02 * evidence.usable_wh):
        return None
    facts["expected_wh"] = round(expected_wh)
    is_far_off = off_wh > 0.35 * abs(expected_wh)
    return Finding("E2", 50 if is_far_off else 30, "Energy and rise of the state of charge do not match", facts)


def _soc_before(evidence: Evidence) -> tuple[float, str] | None:
    """The vehicle's own last figure before the start, else what the charger read."""
    told = [
        ping for ping in evidence.pings
        if ping.soc_percent is not None and evidence.started_at - SOC_FRESH <= ping.at <= evidence.started_at
    ]  # fmt: skip
    if told and told[-1].soc_percent is not None:
        return told[-1].soc_percent, "vehicle"
    charger = evidence.charger_soc_start_percent
    return (charger, "charger") if charger is not None else None


def _soc_after(evidence: Evidence) -> tuple[float, str] | None:
    """The vehicle's first figure after the end, else its last one shortly before, else the charger's."""
    told = [ping for ping in evidence.pings if ping.soc_percent is not None]
    after = [ping for ping in told if evidence.ended_at <= ping.at <= evidence.ended_at + SOC_FRESH]
    shortly = [ping for ping in told if evidence.ended_at - timedelta(minutes=2) <= ping.at <= evidence.ended_at]
    chosen = after[0] if after else (shortly[-1] if shortly else None)
    if chosen is not None and chosen.soc_percent is not None:
        return chosen.soc_percent, "vehicle"
    charger = evidence.charger_soc_end_percent
    return (charger, "charger") if charger is not None else None


# --- small words --------------------------------------------------------------------------------------------------


def _during(evidence: Evidence) -> Sequence[Ping]:
    return [ping for ping in evidence.pings if evidence.started_at <= ping.at <= evidence.ended_at]


def _has_near(pings: Sequence[Ping], moment: datetime) -> bool:
    return any(abs(ping.at - moment) <= NEAR_MOMENT for ping in pings)


def _distance(evidence: Evidence, ping: Ping) -> float:
    return distance_m(evidence.latitude, evidence.longitude, ping.latitude, ping.longitude)


def _between(one: Ping, other: Ping) -> float:
    return distance_m(one.latitude, one.longitude, other.latitude, other.longitude)


def _radius(evidence: Evidence, ping: Ping) -> int:
    return evidence.base_radius_m + _accuracy(ping)


def _blur(one: Ping, other: Ping) -> int:
    return _accuracy(one) + _accuracy(other)


def _accuracy(ping: Ping) -> int:
    return DEFAULT_ACCURACY_M if ping.accuracy_m is None else ping.accuracy_m


def _gap(evidence: Evidence) -> dict[str, Any]:
    before = [ping.at for ping in evidence.pings if ping.at < evidence.started_at]
    after = [ping.at for ping in evidence.pings if ping.at > evidence.ended_at]
    return {
        "last_before": max(before).isoformat() if before else None,
        "first_after": min(after).isoformat() if after else None,
    }


def _spoken(metres: float) -> str:
    return f"{metres / 1000:.1f} km" if metres >= 1000 else f"{metres:.0f} m"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
