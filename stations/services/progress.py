"""How far a poll is: one update of one small row per page."""

from datetime import datetime

from django.db.models import F

from stations.cpo.base import PullReport
from stations.models import PollRun


def poll_began(*, source_id: int, at: datetime) -> None:
    """Whatever was known of an earlier poll that never ended is forgotten; how the last one went stays."""
    run = PollRun(source_id=source_id, began_at=at, heard_at=at)
    fields = ["began_at", "heard_at", "is_full", "part", "page", "pages", "read", "refused"]
    PollRun.objects.bulk_create([run], update_conflicts=True, unique_fields=["source"], update_fields=fields)


def poll_went_on(*, source_id: int, report: PullReport, at: datetime) -> None:
    """Another page is done."""
    PollRun.objects.filter(source_id=source_id).update(
        heard_at=at, is_full=report.is_full, part=report.part[:30], page=report.page, pages=report.pages,
        read=F("read") + report.read, refused=F("refused") + len(report.rejected),
    )  # fmt: skip


def poll_ended(*, source_id: int, result: str, written: int, at: datetime) -> None:
    """PollRun.Result, and how many sites it wrote."""
    PollRun.objects.filter(source_id=source_id, began_at__isnull=False).update(
        last_began_at=F("began_at"), last_ended_at=at, last_result=result, last_was_full=F("is_full"),
        last_read=F("read"), last_refused=F("refused"), last_written=written, began_at=None,
    )  # fmt: skip
