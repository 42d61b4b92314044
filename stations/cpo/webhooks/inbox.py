"""The inbox as the hot path sees it: what was had before, and new rows by the hundred, without a model for each."""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from fleetcharge.lib.db import fetch_planned, fetch_prepared, in_one_line
from stations.cpo.webhooks.models import WebhookPush

HELD = in_one_line("""
SELECT p.id FROM unnest(%s::bigint[], %s::text[]) AS v(feed_id, dedupe_key)
JOIN stations_webhookpush p ON p.feed_id = v.feed_id AND p.dedupe_key = v.dedupe_key
""")
KEEP = in_one_line("""
INSERT INTO stations_webhookpush
    (feed_id, dedupe_key, method, path, raw, sent_at, received_at, applied_at, entries, outcomes, problems)
SELECT p.feed_id, p.dedupe_key, p.method, p.path, decode(p.raw, 'base64'), p.sent_at, p.received_at, p.applied_at,
       p.entries, p.outcomes, p.problems
FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS (
    feed_id bigint, dedupe_key text, method text, path text, raw text, sent_at timestamptz, received_at timestamptz,
    applied_at timestamptz, entries int, outcomes jsonb, problems jsonb
)) WITH ORDINALITY AS p ORDER BY p.ordinality
RETURNING id
""")
Name = tuple[int, str]
"""Feed (primary key) and dedupe key."""


@dataclass(slots=True)
class NewPush:
    """A WebhookPush before it is kept; `pk` is known afterwards."""

    feed_id: int
    dedupe_key: str
    method: str
    path: str
    raw: bytes
    sent_at: datetime | None
    received_at: datetime
    applied_at: datetime | None
    entries: int
    outcomes: dict[str, int] = field(default_factory=dict)
    problems: list[Any] = field(default_factory=list)
    pk: int = 0


def held(names: Collection[Name]) -> dict[Name, WebhookPush]:
    """Those we have had already; one query where we had none."""
    ids = fetch_planned(HELD, [[feed_id for feed_id, _ in names], [key for _, key in names]])
    rows = WebhookPush.objects.filter(pk__in=[pk for (pk,) in ids]).defer("raw") if ids else []
    return {(row.feed_id, row.dedupe_key): row for row in rows}


def keep(pushes: Sequence[NewPush]) -> None:
    """Write them; IntegrityError when another process was quicker with one of them."""
    if not pushes:
        return
    rows = orjson.dumps(pushes, default=_in_base64, option=orjson.OPT_NON_STR_KEYS)
    for push, (pk,) in zip(pushes, fetch_prepared(KEEP, [rows.decode()]), strict=True):
        push.pk = pk


def _in_base64(raw: object) -> str:
    if not isinstance(raw, bytes):
        raise TypeError(type(raw))
    return base64.b64encode(raw).decode()
