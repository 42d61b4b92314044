"""L: was the vehicle there, only there, and was it allowed to be? Pure."""

from datetime import timedelta

import numpy as np

from billing.matching.facts import UNKNOWN, Neighbour
from billing.matching.findings import Finding, nothing_to_look_at, spoken
from billing.matching.seen import LONGEST_GAP_S, MOCK_LOCATION, Seen, away_m

FAR_APART_M = 1_000


def presence(seen: Seen) -> list[Finding]:
    """L1 absent, L2 near miss, L3 no data."""
    terms = seen.terms
    if not seen.evidence.has_vehicle:
        return nothing_to_look_at("L3", "The token names no vehicle, so there is no track to compare")
    wait = terms.no_data_minutes * 60
    if not ((seen.at >= -wait) & (seen.at <= seen.ends_s + wait)).any():
        return nothing_to_look_at("L3", "The tracker sent nothing around the session", **_gap(seen))
    if not (seen.has_ping_near(0) and seen.has_ping_near(seen.ends_s / 2)):
        return []
    nearest = nearest_ping(seen)
    away, radius = float(seen.distance_m[nearest]), int(seen.radius_m[nearest])
    facts = {
        "distance_m": round(away), "radius_m": radius, "at": seen.clock(int(seen.at[nearest])),
        "latitude_e7": int(seen.latitude_e7[nearest]), "longitude_e7": int(seen.longitude_e7[nearest]),
        "point": seen.evidence.point, "pings": int(seen.is_during.sum()),
    }  # fmt: skip
    if away > radius + terms.near_miss_m:
        text = f"The tracker was never closer than {spoken(away)} to the station"
        return [Finding(rule="L1", points=terms.l1_points, text=text, evidence=facts)]
    if away > radius:
        text = f"The tracker was {spoken(away)} from the station; its coordinates may be off"
        return [Finding(rule="L2", points=terms.l2_points, text=text, evidence=facts)]
    return []


def nearest_ping(seen: Seen) -> int:
    """Of the session, or of the minutes around its middle when there is none."""
    among = seen.is_during
    if not among.any():
        among = np.abs(seen.at - seen.ends_s / 2) <= seen.terms.near_moment_minutes * 60
    candidates = np.flatnonzero(among)
    return int(candidates[np.argmin(seen.distance_m[candidates])])


def moving(seen: Seen) -> list[Finding]:
    """L4: the tracker moved while the charger delivered."""
    seconds, farthest = 0.0, 0.0
    for since, until in seen.certain_deliveries:
        among = (seen.at >= since) & (seen.at <= until)
        if among.sum() < 2:
            continue
        at, speed = seen.at[among], np.maximum(seen.speed_dkmh[among], 0)
        is_moving = np.minimum(speed[:-1], speed[1:]) > seen.terms.standing_kmh * 10
        seconds += float(np.minimum(np.diff(at), LONGEST_GAP_S)[is_moving].sum())
        east, north, blur = seen.east_m[among], seen.north_m[among], seen.accuracy_m[among]
        away = np.sqrt((east - east[0]) ** 2 + (north - north[0]) ** 2) - blur - blur[0]
        farthest = max(farthest, float(away.max()))
    if seconds < seen.terms.moving_seconds and farthest <= seen.terms.moving_m:
        return []
    facts = {"moving_seconds": round(seconds), "travelled_m": round(farthest)}
    text = "The tracker moved while the charger delivered energy"
    return [Finding(rule="L4", points=seen.terms.l4_points, text=text, evidence=facts)]


def two_places(seen: Seen) -> list[Finding]:
    """L5: the same vehicle in two sessions at once, or faster between them than it can drive.

    Two records of one plug are a matter of the record (F1), not of the vehicle.
    """
    for other in seen.evidence.neighbours:
        if not other.is_same_vehicle or other.is_same_connector:
            continue
        away = away_m(seen.evidence, other.latitude_e7, other.longitude_e7)
        overlap = _overlap(seen, other)
        facts = {"session": other.session, "distance_m": round(away), "overlap_seconds": round(overlap.total_seconds())}
        if overlap > timedelta(minutes=seen.terms.overlap_minutes):
            text = f"The vehicle was in another session at the same time, {spoken(away)} away"
            return [Finding(rule="L5", points=seen.terms.l5_points, text=text, evidence=facts)]
        clocks_off = timedelta(minutes=seen.terms.overlap_minutes)
        hours = (max(-overlap, timedelta()) + clocks_off).total_seconds() / 3600 or 1e-3
        if away > FAR_APART_M and away / 1000 / hours > seen.terms.possible_kmh:
            facts["speed_kmh"] = round(away / 1000 / hours)
            text = f"Between two sessions it would have driven {spoken(away)} at {facts['speed_kmh']} km/h"
            return [Finding(rule="L5", points=seen.terms.l5_points, text=text, evidence=facts)]
    return []


def other_vehicle(seen: Seen) -> list[Finding]:
    """L6: another vehicle of the fleet stood there, and this one did not. Suggests to assign the session anew."""
    if not seen.evidence.witnesses or not is_absent(seen):
        return []
    best = min(seen.evidence.witnesses, key=lambda each: (-(each.soc_rise_percent or 0), each.distance_m, each.vehicle))
    facts = {"vehicle": best.vehicle, "distance_m": best.distance_m, "soc_rise_percent": best.soc_rise_percent}
    text = f"{best.vehicle} stood at the station instead; the session may be its own"
    return [Finding(rule="L6", points=seen.terms.l6_points, text=text, evidence=facts)]


def is_absent(seen: Seen) -> bool:
    return any(finding.rule == "L1" for finding in presence(seen))


def site(seen: Seen) -> list[Finding]:
    """L7: the fleet's policy does not name this site."""
    if seen.evidence.is_site_allowed is not False:
        return []
    text = "The token or vehicle may only charge at other sites"
    return [Finding(rule="L7", points=seen.terms.l7_points, text=text, evidence={"reference": seen.evidence.reference})]


def mocked(seen: Seen) -> list[Finding]:
    """L8: positions that an app made up, or that jump with an accuracy that never changes.

    A tracker that tells no accuracy has none that could stay the same.
    """
    made_up = int(((seen.flags & MOCK_LOCATION) != 0)[seen.is_during].sum())
    if made_up:
        text = "The tracker says that its positions were made up by an app"
        return [Finding(rule="L8", points=seen.terms.l8_points, text=text, evidence={"pings": made_up})]
    told = seen.told_accuracy_m[seen.is_during & (seen.told_accuracy_m != UNKNOWN)]
    is_constant = len(told) >= seen.terms.constant_accuracy_pings and int(told.min()) == int(told.max())
    if not is_constant or seen.evidence.jumps < seen.terms.jumps:
        return []
    facts = {"jumps": seen.evidence.jumps, "accuracy_m": int(told[0]), "pings": len(told)}
    text = "Positions jump while their accuracy never changes"
    return [Finding(rule="L8", points=seen.terms.l8_points, text=text, evidence=facts)]


def _overlap(seen: Seen, other: Neighbour) -> timedelta:
    """Negative: the time between the two."""
    return min(seen.evidence.ended_at, other.ends_at) - max(seen.evidence.started_at, other.starts_at)


def _gap(seen: Seen) -> dict[str, str | None]:
    before, after = seen.at[seen.at < 0], seen.at[seen.at > seen.ends_s]
    return {
        "last_before": seen.clock(int(before[-1])) if len(before) else None,
        "first_after": seen.clock(int(after[0])) if len(after) else None,
    }
