"""What a job is about, in words: one question for each kind of job, however many there are."""

from collections.abc import Callable, Iterable, Sequence

from billing.cpo_bills import uploads
from billing.invoicing.models import TaxDocument
from billing.invoicing.services import letters
from billing.jobs.kinds import RATE, TAKE
from billing.jobs.models import Job
from billing.models import CDR, BillUpload
from fleetcharge.lib.ids import short
from stations.cpo.ocpi.models import RoamingCDR

Names = dict[str, str]


def names_of(jobs: Sequence[Job]) -> list[str]:
    """In the jobs' order; the key of one that is about something else, or about nothing any more."""
    known = {kind: find(_numbers(jobs, kind)) for kind, find in NAMED.items() if any(job.kind == kind for job in jobs)}
    return [known.get(job.kind, {}).get(job.key) or short(job.key) for job in jobs]


def _numbers(jobs: Iterable[Job], kind: str) -> list[int]:
    return [int(job.key) for job in jobs if job.kind == kind and job.key.isdecimal()]


def _sessions(numbers: list[int]) -> Names:
    rows = CDR.objects.filter(pk__in=numbers).select_related("session__vehicle", "session__connector__evse__location")
    return {str(row.pk): f"{row.session} · {row.session.connector.evse.location}" for row in rows}


def _records(numbers: list[int]) -> Names:
    rows = RoamingCDR.objects.filter(pk__in=numbers).select_related("source").only("key", "source")
    return {str(row.pk): f"{row.source} {short(row.key)}" for row in rows}


def _bills(numbers: list[int]) -> Names:
    rows = BillUpload.objects.filter(pk__in=numbers).select_related("source").only("number", "source")
    return {str(row.pk): str(row) for row in rows}


def _documents(numbers: list[int]) -> Names:
    return {str(row.pk): str(row) for row in TaxDocument.objects.filter(pk__in=numbers)}


NAMED: dict[str, Callable[[list[int]], Names]] = {
    RATE: _sessions, TAKE: _records, uploads.JOB: _bills, letters.JOB: _documents,
}  # fmt: skip
