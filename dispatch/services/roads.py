"""What an alert says of the way ahead: sentences by code, each with the parameters it needs."""

from collections.abc import Mapping
from typing import Any

Sentences = dict[str, dict[str, Any]]
"""Codes of dispatch.wording in the order in which they are said."""
LATE_FROM_SECONDS = 60


def of_plan(known: Mapping[str, Any]) -> Sentences:
    """Of a plan that can be driven: what it misses or needs beyond its first charge."""
    said: Sentences = {}
    if len(visits := known.get("visits") or []) > 1:
        said["charges_again"] = {"second_place": visits[1]["station"]}
    late = max(known.get("arrivals") or [], key=lambda one: one["late_seconds"], default=None)
    if late and late["late_seconds"] >= LATE_FROM_SECONDS:
        said["late_at"] = {"late_seconds": late["late_seconds"], "late_stop": late["name"]}
    if beyond := known.get("stops_beyond"):
        said["not_beyond"] = {"beyond_stop": beyond[0]}
    return said


def of_none(known: Mapping[str, Any]) -> Sentences:
    """Where no plug can be reached: which one lacks least, what is not reached, what would help."""
    said: Sentences = {}
    if known.get("problem") != "out_of_reach":
        return {"finishes": {}} if known.get("can_finish") else {}
    if nearest := known.get("nearest_charger"):
        said["nearest_is"] = {"nearest_place": nearest["station"]}
    if known.get("can_finish"):
        said["finishes"] = {}
    elif blocked := known.get("blocked_stop"):
        said["blocked"] = {"blocked_stop": blocked}
    for way in known.get("ways_out") or []:
        said.setdefault(f"way_{way['kind']}", _way(way))
    return said


def _way(way: Mapping[str, Any]) -> dict[str, Any]:
    name = {
        "charge_first": "more_wh", "use_reserve": "left_percent", "drive_economically": "saved_percent",
        "skip_stop": "skipped_stop",
    }.get(way["kind"], "late_seconds")  # fmt: skip
    return {name: way.get("stop", way.get("value"))}
