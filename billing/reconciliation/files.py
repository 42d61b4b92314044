"""A verdict as a file to argue with: what was seen by which rule, the figures of both sides, the track, the meter."""

from datetime import datetime, timedelta
from typing import Any

from billing import dispute
from billing.gst.numbering import INDIA
from billing.matching import catalogue, unpacked
from billing.models import ChargingSession, ReconciliationVerdict

HEADER = ("section", "item", "points", "asks", "at", "value", "note")
RELATED = ("session__connector__evse__location", "session__source", "session__vehicle", "session__cdr__roaming_cdr")


def pack(verdict: ReconciliationVerdict) -> dict[str, Any]:
    """Needs RELATED. Tokens are named as the network did; no driver is."""
    session = verdict.session
    cdr = getattr(session, "cdr", None)
    told = cdr.roaming_cdr if cdr else None
    own, foreign = neighbours(verdict)
    return {
        "record": {
            "network": session.source.name, "record": verdict.evidence.get("record") or (told.key if told else ""),
            "reference": verdict.evidence.get("reference", ""),
            "our session": session.transaction_ref, "token": session.id_token_uid,
            "vehicle": session.vehicle.registration if session.vehicle else "",
            "site": session.connector.evse.location.name, "connector": str(session.connector),
            "from": session.started_at.isoformat(), "to": session.ended_at.isoformat() if session.ended_at else "",
            "energy, Wh": verdict.evidence.get("energy_wh", session.energy_wh),
            "price, Rs": dispute.rupees(cdr.total_paise) if cdr else "",
        },
        "verdict": {
            "verdict": verdict.verdict, "points": verdict.points, "ruleset": verdict.ruleset_version,
            "hash of the evidence": verdict.input_hash, "judged at": verdict.decided_at.isoformat(),
            "outcome": verdict.outcome, "reason": verdict.outcome_reason,
        },
        "findings": [without(finding, foreign) for finding in verdict.findings],
        "thresholds": verdict.thresholds,
        "evidence": {**verdict.evidence, **({"neighbours": own} if foreign else {})},
    }  # fmt: skip


def neighbours(verdict: ReconciliationVerdict) -> tuple[list[dict[str, Any]], set[int]]:
    """The fleet's own, and the numbers of others: until 2026-11.4 evidence held other fleets' sessions at the plug."""
    told = verdict.evidence.get("neighbours", [])
    numbers = {other["session"] for other in told}
    own = ChargingSession.objects.filter(pk__in=numbers, organisation_id=verdict.session.organisation_id)
    known = set(own.values_list("pk", flat=True))
    return [other for other in told if other["session"] in known], numbers - known


def without(finding: dict[str, Any], foreign: set[int]) -> dict[str, Any]:
    """What it says of another fleet's session is left out."""
    return {**finding, "evidence": {}} if finding["evidence"].get("session") in foreign else finding


def as_csv(packed: dict[str, Any]) -> str:
    return dispute.table(HEADER, _rows(packed))


def file_name(verdict: ReconciliationVerdict, extension: str) -> str:
    return f"evidence-{verdict.session_id}-{verdict.input_hash[:8]}.{extension}"


def _rows(packed: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for section in ("record", "verdict"):
        rows += [(section, name, "", "", "", value, "") for name, value in packed[section].items()]
    for found in packed["findings"]:
        rule = catalogue.BY_ID.get(found["rule"])
        name = f"{found['rule']} {rule.name}" if rule else found["rule"]
        points = "hold" if found.get("is_hold") else found["points"]
        rows.append(("finding", name, points, found.get("asks", ""), "", "", found["text"]))
        rows += [("evidence", key, "", "", "", str(value), found["rule"]) for key, value in found["evidence"].items()]
    return [*rows, *_series(packed["evidence"])]


def _series(evidence: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The meter and the track, minute by minute as they were read; of the first ruleset only in the JSON."""
    if not isinstance(evidence.get("track"), dict):
        return []
    rows: list[tuple[Any, ...]] = []
    for name, unit in (("register", "Wh"), ("power", "W")):
        at, values = unpacked(evidence[name]["seconds"]), unpacked(evidence[name]["values"])
        rows += [
            ("meter", name, "", "", clock(evidence, second), int(value), unit)
            for second, value in zip(at, values, strict=True)
        ]
    track = evidence["track"]
    columns = [unpacked(track[name]) for name in ("seconds", "latitude_e7", "longitude_e7")]
    for second, latitude, longitude in zip(*columns, strict=True):
        rows.append(
            ("position", "", "", "", clock(evidence, second), f"{latitude / 1e7:.6f} {longitude / 1e7:.6f}", "")
        )
    return rows


def clock(evidence: dict[str, Any], second: Any) -> str:
    """Indian time."""
    started_at = datetime.fromisoformat(evidence["started_at"])
    return (started_at + timedelta(seconds=int(second))).astimezone(INDIA).isoformat(timespec="seconds")
