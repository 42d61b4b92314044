"""Judges ended sessions by all that is known of them; one by one when asked, in chunks by the sweep."""

from datetime import datetime

from billing.models import ReconciliationVerdict
from billing.reconciliation.gathering import MOST_PINGS, gather
from billing.reconciliation.storing import judged, store
from billing.reconciliation.working import judge_these, judge_waiting, overtaken

__all__ = ["MOST_PINGS", "judge", "judge_these", "judge_waiting", "overtaken"]


def judge(*, session_id: int, now: datetime) -> ReconciliationVerdict | None:
    """Judge an ended session, for the first time or again; None while it still runs.

    The same evidence gives the same verdict and changes nothing. A verdict other than verified or inconclusive opens an
    exception once; later news that settles the matter closes it.
    """
    found = gather([session_id])
    if not found:
        return None
    store(judged(found), now=now)
    return ReconciliationVerdict.objects.get(session_id=session_id)
