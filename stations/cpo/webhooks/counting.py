"""How a feed does: what became of its pushes and entries, and how long its news take."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime

from django.db.models import Sum

from fleetcharge.lib.db import fetch_prepared, in_one_line
from stations.cpo.webhooks.models import WebhookCount

LAG_STEPS_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
LAG = "lag_"
UPSERT = in_one_line("""
INSERT INTO stations_webhookcount AS c (feed_id, day, code, count, last_at, last_detail)
SELECT * FROM unnest(%s::bigint[], %s::date[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[])
ON CONFLICT (feed_id, day, code) DO UPDATE SET count = c.count + EXCLUDED.count, last_at = EXCLUDED.last_at,
    last_detail = CASE WHEN EXCLUDED.last_detail = '' THEN c.last_detail ELSE EXCLUDED.last_detail END
""")


class Tally:
    """Counts of one batch, written in one statement at its end, in order (no two processes wait in a ring)."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()
        self._details: dict[tuple[int, str], str] = {}

    def add(self, feed_id: int, code: str, *, by: int = 1, detail: str = "") -> None:
        if by:
            self._counts[feed_id, code[:40]] += by
        if detail:
            self._details[feed_id, code[:40]] = "".join(each for each in detail if each.isprintable())[:255]

    def lag(self, feed_id: int, milliseconds: float) -> None:
        """How long ago, by the vendor's clock, what we have just kept had happened."""
        self._counts[feed_id, lag_code(milliseconds)] += 1

    def write(self, now: datetime) -> None:
        names = sorted(self._counts)
        if not names:
            return
        fetch_prepared(
            UPSERT,
            [
                [feed for feed, _ in names], [now.date()] * len(names), [code for _, code in names],
                [self._counts[name] for name in names], [now] * len(names),
                [self._details.get(name, "") for name in names],
            ],
        )  # fmt: skip


def lag_code(milliseconds: float) -> str:
    step = next((step for step in LAG_STEPS_MS if milliseconds <= step), None)
    return f"{LAG}over" if step is None else f"{LAG}{step}"


def counts_of(feed_id: int, day: date) -> dict[str, int]:
    """Everything counted on one day, lags left out; queries."""
    rows = WebhookCount.objects.filter(feed_id=feed_id, day=day).exclude(code__startswith=LAG).order_by("code")
    return dict(rows.values_list("code", "count"))


def lag_percentiles(feed_id: int, days: Iterable[date], wanted: tuple[int, ...] = (50, 95)) -> list[int | None]:
    """Milliseconds within which so many percent of the news were kept, by step; None when nothing was; queries."""
    rows = WebhookCount.objects.filter(feed_id=feed_id, day__in=list(days), code__startswith=LAG)
    counted = dict(rows.values_list("code").annotate(total=Sum("count")))
    total = sum(counted.values())
    return [_percentile(counted, total, percent) for percent in wanted] if total else [None] * len(wanted)


def _percentile(counted: dict[str, int], total: int, percent: int) -> int | None:
    seen = 0
    for step in LAG_STEPS_MS:
        seen += counted.get(f"{LAG}{step}", 0)
        if seen * 100 >= total * percent:
            return step
    return LAG_STEPS_MS[-1]
