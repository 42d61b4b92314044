"""What the page of one charger shows, tab by tab; reads only."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db.models import Count
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from fleetcharge.accounts.models import AuditEntry, Organisation
from ocpp_bridge import configuration, deeds, oddities, recordings
from ocpp_bridge.deeds import Deed
from ocpp_bridge.discretion import without_secrets
from ocpp_bridge.models import (
    CertificateRequest,
    ChargerCertificate,
    ChargerConfiguration,
    ChargerJob,
    Command,
    ConfigurationRollout,
    ConfigurationValue,
    OddMessage,
    SecurityEvent,
    Upload,
)
from stations.models import Charger, Connector, StatusChange

ROWS = 50
CLOCK_ALARM_SECONDS, CLOCK_WRONG_SECONDS = 60, 300
EXPIRES_SOON = timedelta(days=30)
S = Connector.Status
LOOKS = {
    S.AVAILABLE: ("check", "ok"), S.OCCUPIED: ("bolt", "chg"), S.CHARGING: ("bolt", "chg"),
    S.RESERVED: ("clock", "warn"), S.FAULTED: ("warn", "bad"), S.UNAVAILABLE: ("slash", "off"),
    S.UNKNOWN: ("slash", "off"),
}  # fmt: skip
COMMAND_LOOKS = {
    "queued": ("clock", "off"), "sent": ("clock", "chg"), "accepted": ("check", "ok"), "rejected": ("close", "bad"),
}  # fmt: skip
TABS: tuple[tuple[str, str | Promise, str], ...] = (
    ("frames", _("Frames"), "list"),
    ("sessions", _("Sessions"), "bolt"),
    ("status", _("Status history"), "clock"),
    ("configuration", _("Configuration"), "layers"),
    ("firmware", _("Firmware and logs"), "down"),
    ("odd", _("Odd messages"), "frame"),
    ("certificates", _("Certificates"), "check"),
    ("security", _("Security"), "warn"),
    ("commands", _("Commands"), "out"),
)


@dataclass(frozen=True)
class PlugRow:
    """One connector in the header."""

    connector: Connector
    icon: str
    tone: str
    session: ChargingSession | None


def header(charger: Charger, organisation: Organisation) -> dict[str, Any]:
    """Connection and plugs. Five queries."""
    connectors = list(
        Connector.objects.existing().filter(evse__charger=charger).select_related("evse").order_by(
            "evse__evse_number", "connector_id"
        )
    )  # fmt: skip
    running = ChargingSession.objects.for_organisation(organisation).active().filter(connector__in=connectors)
    sessions = {session.connector_id: session for session in running}
    skew = charger.clock_skew_seconds
    heard = [at for at in (charger.last_seen_at, recordings.last_heard_at(charger.pk)) if at is not None]
    return {
        "last_frame_at": max(heard, default=None),
        "plugs": [
            PlugRow(row, *LOOKS.get(S(row.status), ("slash", "off")), sessions.get(row.pk)) for row in connectors
        ],
        "skew": skew,
        "skew_tone": "off" if skew is None else "warn" if abs(skew) > CLOCK_ALARM_SECONDS else "ok",
        "is_clock_wrong": skew is not None and abs(skew) > CLOCK_WRONG_SECONDS,
        "drifted": len(configuration.drift_of(charger)),
    }


def frames(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    """One page of the recorder, and the filter it came from."""
    rows = recordings.search(
        charger_id=charger.pk,
        wanted=recordings.Wanted(
            since=wanted.get("since"),
            until=wanted.get("until"),
            action=wanted.get("action", ""),
            direction={"in": 0, "out": 1}.get(wanted.get("direction", "")),
            has_error=bool(wanted.get("only_errors")),
            message_id=wanted.get("message_id", ""),
            text=wanted.get("text", ""),
            tag=wanted.get("tag", ""),
        ),
    )
    if wanted.get("before"):
        rows = rows.older_than(wanted["before"])
    looked_at = rows.looked_at()
    found = rows.newest(ROWS + 1)
    shown = found[:ROWS]
    return {
        "frames": [_frame_row(frame) for frame in shown],
        "newest": looked_at,
        "older": shown[-1].id if len(found) > ROWS else None,
        "wanted": wanted,
        "is_filtered": any(value for name, value in wanted.items() if name != "before"),
    }


def _frame_row(frame: recordings.Frame) -> dict[str, Any]:
    return {**recordings.as_json(frame), "pretty": pretty(frame.payload)}


def pretty(text: str, limit: int = 4_000) -> str:
    """JSON with line breaks, at most `limit` characters of it; other text as it is."""
    with contextlib.suppress(orjson.JSONDecodeError):
        text = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    return _cut(text, limit)


def _cut(text: str, limit: int = 4_000) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n…"


def sessions(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    """The fleet's own sessions here; others that charged at this charger stay theirs."""
    rows = ChargingSession.objects.for_organisation(organisation).filter(charger=charger)
    return {"sessions": rows.select_related("vehicle", "connector__evse", "cdr")[:ROWS]}


def status(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    rows = StatusChange.objects.filter(connector__evse__charger=charger).select_related("connector__evse")
    changes = [(row, *LOOKS.get(S(row.new), ("slash", "off"))) for row in rows.order_by("-at", "-pk")[: 2 * ROWS]]
    return {"changes": changes}


def settings_of(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is set, what should be, and what we did about it."""
    gaps = {gap.key: gap for gap in configuration.drift_of(charger)}
    expected = configuration.expected_of(charger)
    values = [
        (row, expected.get(row.key), gaps.get(row.key)) for row in ConfigurationValue.objects.filter(charger=charger)
    ]
    rollouts = ConfigurationRollout.objects.for_organisation(organisation).filter(changes__charger=charger)
    return {
        "state": ChargerConfiguration.objects.filter(pk=charger.pk).first(),
        "values": sorted(values, key=lambda row: (row[2] is None, row[1] is None, row[0].key)),
        "missing": [gap for gap in gaps.values() if gap.kind == "not_reported"],
        "expected": expected,
        "rollouts": rollouts.distinct().annotate(total=Count("changes"))[:10],
    }


def firmware(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "jobs": ChargerJob.objects.filter(charger=charger)[:20],
        "uploads": Upload.objects.filter(charger=charger)[:20],
    }


def certificates(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    now: datetime = wanted["now"]
    rows = ChargerCertificate.objects.current().filter(charger=charger)
    return {
        "certificates": [(row, _expiry_tone(row, now)) for row in rows],
        "requests": CertificateRequest.objects.filter(charger=charger)[:10],
    }


def _expiry_tone(row: ChargerCertificate, now: datetime) -> str:
    if row.not_after is None:
        return "off"
    if row.not_after <= now:
        return "bad"
    return "warn" if row.not_after - now < EXPIRES_SOON else "ok"


def odd(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    """What broke its schema, taken or refused."""
    rows = OddMessage.objects.for_organisation(organisation).filter(charger=charger)[:ROWS]
    return {"odd": [(row, _cut(oddities.shown(row.action, row.payload))) for row in rows]}


def security(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"events": SecurityEvent.objects.filter(charger=charger)[: 2 * ROWS]}


def commands(charger: Charger, organisation: Organisation, wanted: dict[str, Any]) -> dict[str, Any]:
    """The ledger, with the reasons people gave."""
    rows = list(Command.objects.for_organisation(organisation).filter(charger=charger)[:ROWS])
    trail = AuditEntry.objects.filter(
        organisation=organisation, target_type="stations.charger", target_id=str(charger.pk), action="charger.command"
    )
    reasons = {entry.after.get("command"): entry.reason for entry in trail.order_by("-at")[: 4 * ROWS]}
    shown = [
        {
            "command": row, "icon": icon, "tone": tone, "why": reasons.get(str(row.pk), ""),
            "said": pretty(orjson.dumps(without_secrets([row.parameters, row.request, row.response])).decode()),
        }
        for row in rows
        for icon, tone in [COMMAND_LOOKS.get(row.state, ("warn", "warn"))]
    ]  # fmt: skip
    return {"commands": shown}


CONTENT: dict[str, Callable[[Charger, Organisation, dict[str, Any]], dict[str, Any]]] = {
    "frames": frames, "sessions": sessions, "status": status, "configuration": settings_of, "firmware": firmware,
    "odd": odd, "certificates": certificates, "security": security, "commands": commands,
}  # fmt: skip


def deeds_of(tab: str, charger: Charger, organisation: Organisation) -> list[Deed]:
    return deeds.at(charger, organisation, deeds.TABS_OF_DEEDS.get(tab, ()))
