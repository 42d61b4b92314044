"""Firmware updates: asked for by a person, followed by the charger's status notifications (jobs.py)."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from ocpp_bridge import commands, jobs
from ocpp_bridge.models import ChargerJob, Command
from stations.models import Charger

SCHEMES = frozenset({"http", "https", "ftp", "ftps", "sftp"})
PATIENCE = timedelta(hours=24)
REQUESTED = "Requested"
_A, _Kind = Command.Action, ChargerJob.Kind
KIND_OF = {
    _A.UPDATE_FIRMWARE: _Kind.FIRMWARE,
    _A.SIGNED_UPDATE_FIRMWARE: _Kind.FIRMWARE,
    _A.PUBLISH_FIRMWARE: _Kind.PUBLISH,
    _A.GET_DIAGNOSTICS: _Kind.LOG,
    _A.GET_LOG: _Kind.LOG,
}


class BadLocation(Exception):
    """No address a charger could fetch from."""


@transaction.atomic
def start_update(
    *,
    charger_id: int,
    location: str,
    actor: User | None,
    actor_label: str,
    reason: str,
    key: str,
    now: datetime,
    retrieve_at: datetime | None = None,
    signing_certificate: str = "",
    signature: str = "",
) -> Command:
    """Ask a charger to fetch and install new firmware; signed when certificate and signature are given.

    Raises BadLocation. The same `key` is the same update.
    """
    address = urlsplit(location.strip())
    if address.scheme.lower() not in SCHEMES or not address.hostname:
        raise BadLocation("Give an address that begins with https, http, ftp, ftps or sftp.")
    parameters: dict[str, Any] = {"location": location.strip(), "retrieve_at": (retrieve_at or now).isoformat()}
    if signing_certificate and signature:
        parameters |= {"signing_certificate": signing_certificate, "signature": signature}
    action = _A.SIGNED_UPDATE_FIRMWARE if signature and signing_certificate else _A.UPDATE_FIRMWARE
    command = commands.enqueue(
        charger_id=charger_id, action=action, parameters=parameters, idempotency_key=key, deadline_at=now + PATIENCE,
        actor=actor_label,
    )  # fmt: skip
    shown = f"{address.scheme}://{address.hostname}{address.path}"  # without user, password and query
    audit(action="charger.firmware", target=Charger.objects.get(pk=charger_id), actor=actor, reason=reason,
          after={"location": shown, "signed": bool(signature)})  # fmt: skip
    return command


@transaction.atomic
def begin_job(*, command_id: str, at: datetime) -> int | None:
    """The charger has accepted: from now on silence is noticed. None for other commands, or when it was faster."""
    command = Command.objects.filter(pk=command_id, state=Command.State.ACCEPTED).first()
    kind = KIND_OF.get(_A(command.action)) if command else None
    if command is None or kind is None:
        return None
    request_id = command.parameters.get("request_id") if "requestId" in (command.request or {}) else None
    Charger.objects.select_for_update().only("pk").get(pk=command.charger_id)
    of_kind = ChargerJob.objects.filter(charger_id=command.charger_id, kind=kind)
    began = of_kind.filter(request_id=request_id) if request_id else of_kind.filter(
        started_at__gte=command.sent_at or command.created_at
    )  # fmt: skip
    if began.exists():
        return None
    if request_id is None and of_kind.filter(request_id=None, is_open=True).exists():
        return None  # an older one goes on, its notifications cannot be told apart
    return jobs.note_progress(
        charger_id=command.charger_id, kind=kind, status=REQUESTED, request_id=request_id, received_at=at
    )
