"""Reports of many frames, put together: parts in any order, repeats, gaps, and an end to waiting."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from ocpp_bridge.models import Report, ReportPart
from ocpp_bridge.station import digest
from stations.models import Charger

State = Report.State
PATIENCE = timedelta(minutes=5)
REOPENED_WITHIN = timedelta(hours=24)
MAX_PARTS = 10_000


class TooManyParts(Exception):
    """Nobody reports that much; nothing has been written."""


@transaction.atomic
def note_part(
    *,
    charger_id: int,
    kind: str,
    request_id: int,
    seq_no: int | None,
    is_last: bool,
    payload: dict[str, Any],
    received_at: datetime,
) -> int:
    """Keep one frame of a report; returns the report's id. A repeat changes nothing, a late part fills its gap.

    `seq_no` None: the message has none (ReportChargingProfiles, NotifyDisplayMessages), parts count as they come and
    gaps cannot be seen.
    """
    Charger.objects.select_for_update().only("pk").get(pk=charger_id)  # one report begins once
    content = digest(payload)
    report = _find(charger_id, kind, request_id, seq_no, content, received_at)
    if report is None:
        report = Report.objects.create(
            charger_id=charger_id, kind=kind, request_id=request_id, started_at=received_at, updated_at=received_at
        )
    known = list(report.parts.order_by("seq_no").values_list("seq_no", "payload_hash"))
    if (seq_no, content) in known or (seq_no is None and content in {part[1] for part in known}):
        return report.pk
    if len(known) >= MAX_PARTS:
        raise TooManyParts(f"{kind} {request_id} has more than {MAX_PARTS} parts")
    number = len(known) if seq_no is None else seq_no
    ReportPart.objects.create(
        report=report, seq_no=number, payload=payload, payload_hash=content, received_at=received_at
    )
    report.updated_at = received_at
    if is_last:
        report.last_seq_no = number
    _judge(report, {part[0] for part in known} | {number})
    report.save()
    return report.pk


def _find(charger_id: int, kind: str, request_id: int, seq_no: int | None, content: str, at: datetime) -> Report | None:
    """The report this part belongs to. A request id that starts over with other content is another report."""
    reports = Report.objects.select_for_update().filter(charger_id=charger_id, kind=kind, request_id=request_id)
    latest = reports.order_by("-started_at", "-pk").first()
    if latest is None:
        return None
    same = latest.parts.filter(payload_hash=content)
    if (same if seq_no is None else same.filter(seq_no=seq_no)).exists():
        return latest
    is_taken = seq_no is not None and latest.parts.filter(seq_no=seq_no).exists()
    if latest.state == State.RECEIVING and not is_taken:
        return latest
    if latest.state == State.INCOMPLETE and not is_taken and at - latest.updated_at < REOPENED_WITHIN:
        return latest
    if latest.state == State.RECEIVING:  # overtaken: it will not become complete any more
        close(latest)
    return None


def _judge(report: Report, numbers: set[int]) -> None:
    """Complete once the last part is known and none before it is missing."""
    if report.last_seq_no is None:
        report.state = State.RECEIVING
        return
    report.missing = sorted(set(range(report.last_seq_no + 1)) - numbers)[:1000]
    report.state = State.RECEIVING if report.missing else State.COMPLETE


def close(report: Report) -> None:
    """Nothing more will come: what is missing is said."""
    numbers = set(report.parts.values_list("seq_no", flat=True))
    end = max(numbers, default=0) if report.last_seq_no is None else report.last_seq_no
    report.missing = sorted(set(range(end + 1)) - numbers)[:1000]
    report.state = State.INCOMPLETE
    report.save(update_fields=["missing", "state"])


@transaction.atomic
def close_silent(*, now: datetime) -> int:
    """Reports whose next part did not come are incomplete; how many."""
    waiting = Report.objects.select_for_update(skip_locked=True).filter(
        state=State.RECEIVING, updated_at__lt=now - PATIENCE
    )
    late = list(waiting.order_by("pk"))
    for report in late:
        close(report)
    return len(late)


def variables(*, charger_id: int) -> dict[tuple[str, str, str], str]:
    """{(component, variable, attribute): value} over every NotifyReport we hold, the newest value winning.

    Component and variable carry EVSE and instance, as in `EVSE#1/Current` or `Connector#1.2`; queries twice.
    """
    found: dict[tuple[str, str, str], str] = {}
    parts = ReportPart.objects.filter(report__charger_id=charger_id, report__kind=Report.Kind.VARIABLES)
    for payload in parts.order_by("received_at", "pk").values_list("payload", flat=True):
        for entry in payload.get("reportData", []):
            for attribute in entry.get("variableAttribute", []):
                if "value" in attribute:
                    name = component_name(entry["component"]), variable_name(entry["variable"])
                    found[*name, attribute.get("type", "Actual")] = attribute["value"]
    return found


def component_name(component: dict[str, Any]) -> str:
    """`Name`, `Name[instance]`, `Name#evse`, `Name#evse.connector`."""
    instance, evse = component.get("instance"), component.get("evse")
    evse = evse if isinstance(evse, dict) else {}
    place = ".".join(str(evse[key]) for key in ("id", "connectorId") if evse.get(key) is not None)
    name = str(component.get("name", ""))
    return name + (f"[{instance}]" if instance else "") + (f"#{place}" if place else "")


def variable_name(variable: dict[str, Any]) -> str:
    """`Name` or `Name[instance]`."""
    instance = variable.get("instance")
    return str(variable.get("name", "")) + (f"[{instance}]" if instance else "")
