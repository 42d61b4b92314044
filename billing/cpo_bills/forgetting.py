"""Files that were only tried, or refused, are not kept for ever; nor is what was read of them."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Length

from billing.models import BillUpload, NetworkBill, NetworkBillRow
from fleetcharge.accounts.services import audit

State = BillUpload.State
FILES_A_SWEEP = 500
ROWS_A_PORTION = 20_000
PORTIONS_A_SWEEP = 100


def forget_files(*, now: datetime) -> int:
    """Of uploads that ended BILL_FILE_RETENTION_DAYS ago without being taken; returns how many."""
    old = BillUpload.objects.filter(
        state__in=(State.TRIED, State.REFUSED), forgotten_at=None,
        finished_at__lt=now - timedelta(days=settings.BILL_FILE_RETENTION_DAYS),
    )  # fmt: skip
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:FILES_A_SWEEP])
    return sum(_forget_file(pk, now) for pk in keys)


@transaction.atomic
def _forget_file(upload_id: int, now: datetime) -> bool:
    """False for one that somebody takes, tries again or forgets just now."""
    rows = BillUpload.objects.select_for_update(of=("self",), skip_locked=True).select_related("organisation")
    row = rows.filter(pk=upload_id, state__in=(State.TRIED, State.REFUSED), forgotten_at=None).defer("content").first()
    if row is None:
        return False
    mine = BillUpload.objects.filter(pk=row.pk)
    length = mine.values_list(Length("content"), flat=True).get()
    mine.update(content=b"", forgotten_at=now)
    audit(
        action="network_bill.forget_file", target=row, organisation=row.organisation,
        after={"file": row.file_name, "bytes": length, "state": row.state,
               "after_days": settings.BILL_FILE_RETENTION_DAYS},
    )  # fmt: skip
    return True


def sweep_drafts() -> int:
    """What was read for uploads that will not be taken, in portions; returns how many rows are gone."""
    wanted = BillUpload.objects.filter(
        bill=OuterRef("pk"), state__in=(State.WAITING, State.TRIED), forgotten_at=None
    )  # fmt: skip
    drafts = NetworkBill.objects.filter(is_draft=True).exclude(Exists(wanted)).order_by("pk")
    gone = 0
    for pk in list(drafts.values_list("pk", flat=True)[:PORTIONS_A_SWEEP]):
        gone += _empty(pk)
        if gone >= ROWS_A_PORTION * PORTIONS_A_SWEEP:
            break
    return gone


def _empty(bill_id: int) -> int:
    gone = 0
    rows = NetworkBillRow.objects.filter(bill=bill_id, bill__is_draft=True)
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_A_PORTION]):
        gone += NetworkBillRow.objects.filter(pk__in=keys).delete()[0]
    NetworkBill.objects.filter(pk=bill_id, is_draft=True).delete()
    return gone
