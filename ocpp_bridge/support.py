"""What we make of every message of every OCPP version, told by the code itself; docs/ocpp.md shows it."""

from collections.abc import Iterator

from ocpp_bridge.meaning import Meaning
from ocpp_bridge.v2 import MEANING_21, MEANING_201
from ocpp_bridge.v16 import MEANING_16
from ocpp_bridge.vocabulary import table as commands

MEANINGS: dict[str, Meaning] = {"1.6": MEANING_16, "2.0.1": MEANING_201, "2.1": MEANING_21}
BEGIN, END = "<!-- support: begin -->", "<!-- support: end -->"
HANDLED, KEPT, DECLINED, REFUSED, NEVER, UNKNOWN = "handled", "kept", "declined", "NotSupported", "no", ""
SENT = "sent"

# The editions' own tables of who asks whom; the schemas do not say it.
BY_STATIONS = frozenset({
    "Authorize", "BatterySwap", "BootNotification", "ClearedChargingLimit", "ClosePeriodicEventStream",
    "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Get15118EVCertificate",
    "GetCertificateChainStatus", "GetCertificateStatus", "Heartbeat", "LogStatusNotification", "MeterValues",
    "NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDERAlarm", "NotifyDERStartStop",
    "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "NotifyEvent",
    "NotifyMonitoringReport", "NotifyPeriodicEventStream", "NotifyPriorityCharging", "NotifyReport",
    "NotifySettlement", "OpenPeriodicEventStream", "PublishFirmwareStatusNotification", "PullDynamicScheduleUpdate",
    "ReportChargingProfiles", "ReportDERControl", "ReservationStatusUpdate", "SecurityEventNotification",
    "SignCertificate", "SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification",
    "StopTransaction", "TransactionEvent", "VatNumberValidation",
})  # fmt: skip
BOTH_WAYS = frozenset({"DataTransfer"})


def inbound() -> dict[str, dict[str, str]]:
    """{message a station sends: {version: what we make of it}}; empty where the edition has no such message."""
    return {
        action: {version: _made_of(meaning, action) for version, meaning in MEANINGS.items()}
        for action in _actions(BY_STATIONS | BOTH_WAYS)
    }


def _made_of(meaning: Meaning, action: str) -> str:
    if action not in meaning.dialect.actions:
        return UNKNOWN
    if action not in meaning.handlers:
        return REFUSED
    if action in meaning.declined:
        return DECLINED
    return KEPT if action in meaning.kept else HANDLED


def outbound() -> dict[str, dict[str, str]]:
    """{message we may send: {version: sent or no}}."""
    said = {version: _said(meaning.dialect.subprotocol) for version, meaning in MEANINGS.items()}
    return {
        action: {version: _sent(meaning, action, said[version]) for version, meaning in MEANINGS.items()}
        for action in _actions(None)
    }


def _said(subprotocol: str) -> set[str]:
    """The table for people says `A, B` and `A (vendor)` where one action has several messages."""
    return {message.partition(" ")[0] for _, words in commands() for message in words[subprotocol].split(", ")}


def _sent(meaning: Meaning, action: str, said: set[str]) -> str:
    if action not in meaning.dialect.actions:
        return UNKNOWN
    return SENT if action in said else NEVER


def _actions(wanted: frozenset[str] | None) -> list[str]:
    """In alphabetical order; None: what is not sent by stations alone."""
    known = {action for meaning in MEANINGS.values() for action in meaning.dialect.actions}
    return sorted(known - BY_STATIONS if wanted is None else known & wanted)


def markdown() -> str:
    """Both tables, between the marks of docs/ocpp.md."""
    lines = [
        BEGIN,
        f"What a charger may send ({_count(inbound(), HANDLED, KEPT)} taken):",
        "",
        *_table(inbound()),
        "",
        f"What we send ({_count(outbound(), SENT)}):",
        "",
        *_table(outbound()),
        END,
    ]
    return "\n".join(lines)


def _count(rows: dict[str, dict[str, str]], *marks: str) -> str:
    counts = {version: sum(row[version] in marks for row in rows.values()) for version in MEANINGS}
    return ", ".join(f"{count} in {version}" for version, count in counts.items())


def _table(rows: dict[str, dict[str, str]]) -> Iterator[str]:
    yield "| Message | " + " | ".join(MEANINGS) + " |"
    yield "|---|" + "---|" * len(MEANINGS)
    for action, row in rows.items():
        yield f"| {action} | " + " | ".join(row.values()) + " |"


def replaced(page: str) -> str:
    """The page with the tables of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + markdown() + after
