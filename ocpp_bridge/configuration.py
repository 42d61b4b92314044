"""Configuration of our chargers: what they reported, what it should be, and asking for it after every boot."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from billing.services.rosters import fleets_with_lists
from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, costs, reports
from ocpp_bridge.drift import Difference, Reported, Wish, differences, expected
from ocpp_bridge.models import (
    ChargerConfiguration,
    Command,
    ConfigurationValue,
    DesiredConfiguration,
    Report,
)
from ocpp_bridge.redaction import is_secret_name
from ocpp_bridge.v2.keys import SAME_AS
from stations.models import Charger, Connector

MAX_KEYS, MAX_KEY, MAX_VALUE = 5_000, 220, 2_500
ASKED_AT_ONCE = 200
ASK_AGAIN_AFTER = timedelta(minutes=15)
OF_LOCAL_LISTS = ("LocalAuthListEnabled", "LocalAuthorizeOffline")  # a list that is sent is worth nothing without
OLD_NAMES = {variable: key for key, variable in SAME_AS.items()}

Row = tuple[str, str | None, bool, bool]  # key, value, is_readonly, is_unknown


def defaults(*, is_dc: bool = True) -> dict[str, str]:
    """Built in: what our bills, our map and our alerts need of any charger (OCPP 1.6 names)."""
    return {
        "HeartbeatInterval": str(settings.OCPP_HEARTBEAT_SECONDS),
        "MeterValueSampleInterval": "30" if is_dc else "60",
        "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,SoC",
        "ClockAlignedDataInterval": "0",
        "StopTransactionOnInvalidId": "true",
        "TransactionMessageAttempts": "10",
        "TransactionMessageRetryInterval": "30",
        **dict.fromkeys(OF_LOCAL_LISTS, "true"),
    }


def expected_of(charger: Charger) -> dict[str, str]:
    """What this charger should be set to. Three queries."""
    is_dc = Connector.objects.filter(evse__charger=charger, power_type=Connector.PowerType.DC).exists()
    built_in = defaults(is_dc=is_dc)
    if not fleets_with_lists({charger.organisation_id}):
        built_in = {key: value for key, value in built_in.items() if key not in OF_LOCAL_LISTS}
    return expected(built_in, _wishes(charger), vendor=charger.vendor, model=charger.model)


def is_wished(charger: Charger, key: str) -> bool:
    """Does a desired configuration of its fleet decide this key (also by leaving it alone)? One query."""
    return any(key in wish.values and wish.fits(charger.vendor, charger.model) for wish in _wishes(charger))


def _wishes(charger: Charger) -> list[Wish]:
    rows = DesiredConfiguration.objects.filter(organisation_id=charger.organisation_id, is_active=True)
    return [Wish(row.vendor_pattern, row.model_pattern, row.priority, row.values) for row in rows]


def drift_of(charger: Charger) -> list[Difference]:
    """Where the charger is not as it should be; empty too while it has reported nothing. Four queries."""
    reported = _reported(charger.pk)
    return differences(expected_of(charger), reported) if reported else []


def _reported(charger_id: int) -> dict[str, Reported]:
    rows = ConfigurationValue.objects.filter(charger_id=charger_id)
    return {row.key: Reported(row.value, row.is_readonly, row.is_unknown) for row in rows}


# --- what chargers report -------------------------------------------------------------------------------------------


@transaction.atomic
def store(*, charger_id: int, rows: Iterable[Row], at: datetime) -> int:
    """Keep what a charger said of its keys; older news changes nothing. Returns how many keys differ from the wish."""
    state, _ = ChargerConfiguration.objects.select_for_update().get_or_create(charger_id=charger_id)
    news = {}
    for key, value, is_readonly, is_unknown in rows:
        kept = None if value is None or is_secret_name(key) else value.replace("\x00", "")[:MAX_VALUE]
        news[key[:MAX_KEY]] = ConfigurationValue(
            charger_id=charger_id, key=key[:MAX_KEY], value=kept, is_readonly=is_readonly, is_unknown=is_unknown,
            reported_at=at,
        )  # fmt: skip
    newer = ConfigurationValue.objects.filter(charger_id=charger_id, reported_at__gt=at)
    for key in newer.filter(key__in=list(news)).values_list("key", flat=True):
        del news[key]
    ConfigurationValue.objects.bulk_create(
        list(news.values())[:MAX_KEYS],
        update_conflicts=True,
        unique_fields=["charger", "key"],
        update_fields=["value", "is_readonly", "is_unknown", "reported_at"],
    )
    state.read_at = max(at, state.read_at or at)
    state.drifted = len(drift_of(Charger.objects.get(pk=charger_id)))
    state.save(update_fields=["read_at", "drifted"])
    return state.drifted


def rows_of_answer(action: str, request: object, answer: object) -> list[Row]:
    """The keys in the answer to GetConfiguration (OCPP 1.6 section 5.8) or GetVariables (OCPP 2.0.1 part 2 B06)."""
    if not isinstance(answer, dict):
        return []
    rows = [
        (str(entry.get("key", "")), _text(entry.get("value")), bool(entry.get("readonly")), False)
        for entry in _entries(answer, "configurationKey")
    ]
    unknown = answer.get("unknownKey")
    rows += [(str(key), None, False, True) for key in (unknown if isinstance(unknown, list) else ())]
    for entry in _entries(answer, "getVariableResult"):
        if entry.get("attributeType", "Actual") == "Actual":
            status = entry.get("attributeStatus")
            is_unknown = status in {"UnknownComponent", "UnknownVariable", "NotSupportedAttributeType"}
            rows.append((neutral_key(entry), _text(entry.get("attributeValue")), False, is_unknown))
    return [row for row in rows if row[0]]


def neutral_key(entry: Mapping[str, Any]) -> str:
    """One name for the same thing in every version: the OCPP 1.6 key where there is one."""
    component, variable = entry.get("component"), entry.get("variable")
    if not isinstance(component, dict) or not isinstance(variable, dict):
        return ""
    name = f"{reports.component_name(component)}.{reports.variable_name(variable)}"
    return OLD_NAMES.get(name, name)


def _entries(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = answer.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _text(value: object) -> str | None:
    """Some chargers send numbers and booleans where OCPP wants text."""
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def take_answer(*, command_id: str, at: datetime) -> int | None:
    """Keep what a finished read of the configuration brought; None for other commands."""
    command = Command.objects.filter(pk=command_id).first()
    if command is None or command.action not in {Command.Action.GET_CONFIGURATION, Command.Action.GET_VARIABLES}:
        return None
    rows = rows_of_answer(command.action, command.request, command.response)
    return store(charger_id=command.charger_id, rows=rows, at=command.answered_at or at) if rows else None


def take_report(*, report_id: int) -> int:
    """Keep the variables of a base report."""
    report = Report.objects.get(pk=report_id)
    rows = []
    for payload in report.payloads():
        for entry in _entries(payload, "reportData"):
            for attribute in _entries(entry, "variableAttribute"):
                if attribute.get("type", "Actual") == "Actual":
                    is_readonly = attribute.get("mutability") == "ReadOnly" or bool(attribute.get("constant"))
                    rows.append((neutral_key(entry), _text(attribute.get("value")), is_readonly, False))
    return store(charger_id=report.charger_id, rows=[row for row in rows if row[0]], at=report.updated_at)


# --- asking ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def ask(*, charger_id: int, actor: str, now: datetime, key: str = "") -> Command:
    """Ask a charger for its configuration: for all of it in OCPP 1.6, for what we have wishes for in 2.x."""
    charger = Charger.objects.get(pk=charger_id)
    state, _ = ChargerConfiguration.objects.select_for_update().get_or_create(charger=charger)
    state.asked_at, state.asked_for_boot_at = now, charger.last_boot_at
    state.save(update_fields=["asked_at", "asked_for_boot_at"])
    keys = [] if charger.protocol == "ocpp1.6" else sorted({*expected_of(charger), *costs.KEYS_2})
    return commands.enqueue(
        charger_id=charger_id,
        action=Command.Action.GET_CONFIGURATION,
        parameters={"keys": keys},
        idempotency_key=key or f"configuration:{charger_id}:{now.timestamp():.3f}",
        deadline_at=now + ASK_AGAIN_AFTER,
        actor=actor,
        now=now,
    )


def ask_after_boots(*, now: datetime) -> int:
    """Every boot is followed by one look at the configuration; returns how many chargers were asked."""
    accepted = Charger.objects.online().filter(registration=Charger.Registration.ACCEPTED, last_boot_at__isnull=False)
    unchecked = Q(configuration=None) | Q(configuration__asked_for_boot_at=None) | Q(
        configuration__asked_for_boot_at__lt=F("last_boot_at")
    )  # fmt: skip
    waiting = Q(configuration__asked_at__gt=now - timedelta(seconds=30))
    ids = list(accepted.filter(unchecked).exclude(waiting).order_by("pk").values_list("pk", flat=True)[:ASKED_AT_ONCE])
    for charger_id in ids:
        with survived("charger", charger_id):
            ask(charger_id=charger_id, actor="boot check", now=now)
    return len(ids)


def take_lost_answers(*, now: datetime) -> int:
    """Reads and reports whose event was lost, or that never had one; returns how many were kept."""
    count = 0
    since = now - timedelta(hours=1)
    answered = Command.objects.filter(
        action__in=[Command.Action.GET_CONFIGURATION, Command.Action.GET_VARIABLES],
        state__in=[Command.State.ACCEPTED, Command.State.REJECTED], answered_at__gte=since,
    )  # fmt: skip
    unread = Q(charger__configuration=None) | Q(charger__configuration__read_at=None) | Q(
        charger__configuration__read_at__lt=F("answered_at")
    )  # fmt: skip
    for command_id in answered.filter(unread).order_by("answered_at").values_list("pk", flat=True):
        with survived("the configuration in the answer to command", command_id):
            count += take_answer(command_id=str(command_id), at=now) is not None
    told = Report.objects.filter(kind=Report.Kind.VARIABLES, updated_at__gte=since).exclude(
        state=Report.State.RECEIVING
    )
    unread = Q(charger__configuration=None) | Q(charger__configuration__read_at=None) | Q(
        charger__configuration__read_at__lt=F("updated_at")
    )  # fmt: skip
    for report_id in told.filter(unread).order_by("updated_at").values_list("pk", flat=True):
        with survived("the configuration in report", report_id):
            take_report(report_id=report_id)
            count += 1
    return count
