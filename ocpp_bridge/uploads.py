"""Addresses that take one file of one charger, and the files that came (rule: our own target for logs)."""

import contextlib
import hashlib
import logging
import mmap
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from ocpp_bridge import commands, jobs
from ocpp_bridge.models import ChargerJob, Command, Upload
from stations.models import Charger

PREFIX = "/ocpp-uploads/"
FOLDER = "charger-uploads"
PATIENCE = timedelta(hours=6)
MAX_NAME = 120
State = Upload.State

logger = logging.getLogger(__name__)


class Refused(Exception):
    """This file is not taken: an HTTP status and our error code."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


@transaction.atomic
def ask_for_log(
    *, charger_id: int, kind: str, actor: User | None, actor_label: str, reason: str, key: str, now: datetime
) -> Upload:
    """Ask a charger for its diagnostics or security log, with an address of ours that works once.

    OCPP 1.6 chargers without the security white paper only know GetDiagnostics, so plain diagnostics are asked for
    that way; `kind` security asks with GetLog. The same `key` is the same request.
    """
    charger = Charger.objects.get(pk=charger_id)
    known = Upload.objects.filter(charger=charger, command__idempotency_key=key).first()
    if known is not None:
        return known
    token = crypto.new_token()
    upload = Upload(charger=charger, kind=kind, actor=actor_label[:120], created_at=now, expires_at=now + PATIENCE)
    upload.token_hash = crypto.keyed_hash(token, purpose=Upload.TOKEN_PURPOSE)
    action = Command.Action.GET_LOG if kind == "security" else Command.Action.GET_DIAGNOSTICS
    upload.command = commands.enqueue(
        charger_id=charger_id,
        action=action,
        parameters={
            "location": f"{settings.PUBLIC_BASE_URL}{PREFIX}{upload.pk}/{token}/",
            **({"log_type": "security"} if kind == "security" else {}),
        },
        idempotency_key=key,
        deadline_at=now + PATIENCE,
        actor=actor_label,
    )
    upload.save()
    audit(action="charger.log", target=charger, actor=actor, reason=reason, after={"kind": kind})
    return upload


def path_of(upload: Upload) -> Path:
    """Where the file lies; never served by anything but our own view."""
    return Path(settings.MEDIA_ROOT) / FOLDER / str(upload.charger_id) / str(upload.pk)


# --- receiving, step by step: nothing is taken twice, nothing half --------------------------------------------------


def admit(*, upload_id: str, token: str, now: datetime) -> Path:
    """The place for the bytes of a file that may come; raises Refused."""
    upload = _find(upload_id, token)
    if upload.state == State.RECEIVED:
        raise Refused(409, "already_received", "This address has taken its file.")
    if upload.state == State.EXPIRED or upload.expires_at <= now:
        raise Refused(410, "expired", "This address is no longer valid.")
    path = path_of(upload)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{crypto.new_token(6)}.part")


def keep(*, upload_id: str, token: str, part: Path, file_name: str, content_type: str, now: datetime) -> Upload:
    """The whole file is there: it becomes the upload's, once. Raises Refused when another was faster.

    The file is in its place before the row says so: what is left of a crash in between, the next try overwrites.
    """
    upload = _find(upload_id, token)
    name = _unwrap(part, content_type) or file_name
    digest, size = _digest(part)
    with transaction.atomic():
        taken = Upload.objects.filter(pk=upload.pk, state=State.WAITING).update(
            state=State.RECEIVED, file_name=_plain_name(name), content_type=content_type[:80], size_bytes=size,
            sha256=digest, received_at=now,
        )  # fmt: skip
        if not taken:
            part.unlink(missing_ok=True)
            raise Refused(409, "already_received", "This address has taken its file.")
        part.replace(path_of(upload))
        _close_job(upload, now)
    upload.refresh_from_db()
    return upload


def _find(upload_id: str, token: str) -> Upload:
    unknown = Refused(404, "unknown_upload", "There is no such address.")
    try:
        number = uuid.UUID(upload_id)
    except ValueError:
        raise unknown from None
    upload = Upload.objects.select_related("command").filter(pk=number).first()
    if upload is None or not crypto.matches(token, upload.token_hash, purpose=Upload.TOKEN_PURPOSE):
        raise unknown
    return upload


def _close_job(upload: Upload, now: datetime) -> None:
    """Some chargers never say `Uploaded`; the file says it for them."""
    sent_at = upload.command.sent_at if upload.command else None
    open_jobs = ChargerJob.objects.filter(charger_id=upload.charger_id, kind=ChargerJob.Kind.LOG, is_open=True)
    for job in open_jobs.filter(started_at__gte=sent_at or upload.created_at):
        jobs.note_progress(
            charger_id=job.charger_id, kind=job.kind, status="Uploaded", request_id=job.request_id,
            detail="The file is here.", received_at=now,
        )  # fmt: skip


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _plain_name(name: str) -> str:
    """The last part of what the charger calls it, in harmless letters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter if letter.isalnum() or letter in "._- " else "_" for letter in last)[:MAX_NAME].strip(". ")


def _unwrap(path: Path, content_type: str) -> str:
    """multipart/form-data: keep only its first file, in place; returns its name. Other bodies stay as they are."""
    kind, _, rest = content_type.partition(";")
    boundary = _parameter(rest, "boundary")
    if kind.strip().lower() != "multipart/form-data" or not boundary or path.stat().st_size == 0:
        return ""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as body:
        for head, start, end in _parts(body, b"--" + boundary.encode()):
            name = _parameter(head, "filename")
            if name:
                body.move(0, start, end - start)
                body.flush()
                size = end - start
                break
        else:
            return ""
    with path.open("r+b") as file:
        file.truncate(size)
    return name


def _parts(body: Any, delimiter: bytes) -> Iterator[tuple[str, int, int]]:
    """(headers, first byte, end) of each part."""
    at = body.find(delimiter)
    while at >= 0:
        head_end = body.find(b"\r\n\r\n", at)
        after = body.find(b"\r\n" + delimiter, head_end)
        if head_end < 0 or after < 0:
            return
        head = body[at + len(delimiter) : min(head_end, at + 4096)].decode("utf-8", "replace")
        yield head, head_end + 4, after
        at = after + 2


def _parameter(text: str, name: str) -> str:
    for piece in text.replace("\r\n", ";").split(";"):
        key, _, value = piece.strip().partition("=")
        if key.lower() == name:
            return value.strip().strip('"')
    return ""


def sweep(*, now: datetime) -> int:
    """Addresses nobody used expire; files past OCPP_UPLOAD_DAYS go with their row, halves too. How many expired."""
    late = Upload.objects.filter(state=State.WAITING, expires_at__lte=now).update(state=State.EXPIRED)
    old = Upload.objects.filter(created_at__lt=now - timedelta(days=settings.OCPP_UPLOAD_DAYS))
    for upload in old.iterator():
        path_of(upload).unlink(missing_ok=True)
        upload.delete()
    _drop_halves(now)
    return late


def _drop_halves(now: datetime) -> None:
    """What a process that was killed had of a file; no upload takes as long."""
    for part in (Path(settings.MEDIA_ROOT) / FOLDER).glob("*/*.part"):
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_mtime < (now - PATIENCE).timestamp():
                part.unlink()
