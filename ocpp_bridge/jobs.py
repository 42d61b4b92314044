"""Firmware updates and uploads, followed from their status notifications; the failed and the stuck are shown."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from ocpp_bridge.instants import to_wire
from ocpp_bridge.matters import raise_matter, settle_matter
from ocpp_bridge.models import ChargerJob
from stations.models import Charger

Kind = ChargerJob.Kind
MAX_STEPS = 100
DONE = frozenset({"Installed", "Uploaded", "Published", "AcceptedCanceled"})
FAILED = frozenset({
    "DownloadFailed", "InstallationFailed", "InstallVerificationFailed", "InvalidSignature", "InvalidChecksum",
    "PublishFailed", "UploadFailed", "UploadFailure", "BadMessage", "NotSupportedOperation", "PermissionDenied",
})  # fmt: skip
STUCK_AFTER = {
    Kind.FIRMWARE.value: timedelta(hours=24), Kind.PUBLISH.value: timedelta(hours=24),
    Kind.LOG.value: timedelta(hours=2),
}  # fmt: skip


@transaction.atomic
def note_progress(
    *, charger_id: int, kind: str, status: str, request_id: int | None, detail: str = "", received_at: datetime
) -> int | None:
    """One status notification; the job's id. None for `Idle`, which says that there is none (it is only asked for).

    Without a request id (OCPP 1.6) it belongs to the job that is open, or begins one. A repeat changes nothing.
    """
    if status == "Idle":
        return None
    Charger.objects.select_for_update().only("pk").get(pk=charger_id)  # one job begins once
    job = _find(charger_id, kind, status, request_id)
    if job is None:
        job = ChargerJob(charger_id=charger_id, kind=kind, request_id=request_id, started_at=received_at)
    elif job.status == status:
        return job.pk
    job.status, job.detail, job.updated_at = status, detail[:500], received_at
    job.has_failed, job.is_open = status in FAILED, status not in FAILED | DONE
    job.steps = [*job.steps[-MAX_STEPS:], [status, to_wire(received_at)]]
    job.save()
    _tell(job, received_at)
    return job.pk


def _find(charger_id: int, kind: str, status: str, request_id: int | None) -> ChargerJob | None:
    jobs = ChargerJob.objects.filter(charger_id=charger_id, kind=kind)
    if request_id is not None:
        return jobs.filter(request_id=request_id).first()
    latest = jobs.filter(request_id=None).order_by("-started_at", "-pk").first()
    return latest if latest is not None and (latest.is_open or latest.status == status) else None


def _tell(job: ChargerJob, at: datetime) -> None:
    matter: dict[str, Any] = {"charger_id": job.charger_id, "cause": job.kind, "key": "", "at": at}
    if job.has_failed:
        raise_matter(**matter, title=f"{job.get_kind_display()} failed", detail=f"{job.status} {job.detail}".strip())
    elif not job.is_open:
        settle_matter(**matter)


@transaction.atomic
def show_stuck(*, now: datetime) -> int:
    """Jobs that said nothing for too long: closed as failed, and shown. They open again when they speak again."""
    count = 0
    for kind, patience in STUCK_AFTER.items():
        silent = ChargerJob.objects.select_for_update(skip_locked=True).filter(
            kind=kind, is_open=True, updated_at__lt=now - patience
        )
        for job in silent.order_by("pk"):
            job.is_open, job.has_failed, job.detail = False, True, f"Silent since {job.status}."
            job.save(update_fields=["is_open", "has_failed", "detail"])
            _tell(job, now)
            count += 1
    return count
