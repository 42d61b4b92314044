"""What finance sees of a verdict: the gap in words, the map's data, the curves."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from billing import evidence
from billing.gst.numbering import INDIA
from billing.matching import rulesets
from billing.matching.findings import spoken
from billing.models import ReconciliationVerdict


def page_of(verdict: ReconciliationVerdict) -> dict[str, Any]:
    """Template context; from the stored evidence alone, so that it is the same for years."""
    stored = verdict.evidence
    return {
        "title": _("%(verdict)s, %(points)d points") % {
            "verdict": verdict.get_verdict_display(), "points": verdict.points,
        },
        "gap": _gap(verdict),
        "map": map_of(verdict),
        "curves": evidence.curves(stored) if stored else {},
    }  # fmt: skip


def map_of(verdict: ReconciliationVerdict) -> dict[str, Any]:
    """Coordinates for the page's script; empty without a position."""
    stored = verdict.evidence
    place = evidence.station_of(stored)
    track = evidence.track_of(stored) if place else []
    if place is None or not track:
        return {}
    ends_s = (_at(stored, "ended_at") - _at(stored, "started_at")).total_seconds()
    during = [[y, x] for y, x, at in track if 0 <= at <= ends_s]
    nearest = _nearest(verdict)
    return {
        "station": list(place), "radius": stored["base_radius_m"], "track": [[y, x] for y, x, _ in track],
        "during": [during] if during else [], "nearest": nearest, "focus": during or [[y, x] for y, x, _ in track],
    }  # fmt: skip


def _nearest(verdict: ReconciliationVerdict) -> list[float] | None:
    """The nearest position, when it was a finding."""
    for finding in verdict.findings:
        told = finding["evidence"]
        if "distance_m" in told and "latitude_e7" in told:
            return [told["latitude_e7"] / 1e7, told["longitude_e7"] / 1e7]
    return None


def _gap(verdict: ReconciliationVerdict) -> str:
    for finding in verdict.findings:
        told = finding["evidence"]
        if "distance_m" in told and "radius_m" in told:
            at = datetime.fromisoformat(told["at"]).astimezone(INDIA)
            return _("Nearest position: %(distance)s from the station, at %(time)s; the radius is %(radius)d m.") % {
                "distance": spoken(told["distance_m"]), "time": f"{at:%H:%M}", "radius": told["radius_m"],
            }  # fmt: skip
    if any(finding["rule"] == "L3" for finding in verdict.findings):
        return _("There is no position to compare; that is nobody's fault.")
    return _("The vehicle stood within the radius.") if _is_present(verdict) else _("Presence is not proven.")


def _is_present(verdict: ReconciliationVerdict) -> bool:
    try:
        return rulesets.is_present(
            version=verdict.ruleset_version, evidence=verdict.evidence, thresholds=verdict.thresholds
        )
    except rulesets.UnreadableEvidence:
        return False


def _at(stored: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(stored[name])
