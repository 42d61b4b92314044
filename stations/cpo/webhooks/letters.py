"""Dead letters: entries that could not be applied, kept with their reason until the reason is gone."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Lower

from stations.cpo.webhooks.inbox import NewPush
from stations.cpo.webhooks.models import DeadLetter, WebhookPush
from stations.cpo.webhooks.styles import APPLIED, Outcome

MAX_AT_ONCE = 2_000
UPSERT = """
INSERT INTO stations_deadletter AS d
    (feed_id, push_id, index, code, subject, detail, times, first_at, last_at, replay_code)
SELECT *, '' FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[], %s::int[],
                         %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (feed_id, code, subject) DO UPDATE SET push_id = EXCLUDED.push_id, index = EXCLUDED.index,
    detail = EXCLUDED.detail, times = d.times + EXCLUDED.times, last_at = EXCLUDED.last_at,
    replayed_at = NULL, replay_code = ''
WHERE d.last_at <= EXCLUDED.last_at
"""


def write(pushes: Iterable[tuple[NewPush | WebhookPush, Sequence[Outcome]]]) -> int:
    """Keep what needs another look, the newest of its kind for each EVSE; in one statement. Returns how many."""
    letters: dict[tuple[int, str, str], tuple[NewPush | WebhookPush, Outcome, int]] = {}
    for push, outcomes in pushes:
        for outcome in outcomes:
            if outcome.code in APPLIED:
                continue
            name = (
                push.feed_id,
                outcome.code[:40],
                (outcome.subject or f"{push.dedupe_key}#{outcome.index}")[:160],
            )
            letters[name] = (push, outcome, letters[name][2] + 1 if name in letters else 1)
    if letters:
        _upsert(letters)
    return len(letters)


def _upsert(letters: dict[tuple[int, str, str], tuple[NewPush | WebhookPush, Outcome, int]]) -> None:
    names = sorted(letters)
    kept = [letters[name] for name in names]
    received = [push.received_at for push, _, _ in kept]
    with connection.cursor() as cursor:
        cursor.execute(
            UPSERT,
            [
                [feed_id for feed_id, _, _ in names], [push.pk for push, _, _ in kept],
                [outcome.index for _, outcome, _ in kept], [code for _, code, _ in names],
                [subject for _, _, subject in names], [_plain(outcome.detail) for _, outcome, _ in kept],
                [times for _, _, times in kept], received, received,
            ],
        )  # fmt: skip


def _plain(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:255]


def replay(letter_ids: Iterable[int], *, now: datetime) -> dict[str, int]:
    """Read the pushes of these letters again, as they came, by today's mapping; how many entries became what.

    An entry that is older than what we hold by now is stale, and so done with.
    """
    from stations.cpo.webhooks import receiver  # a letter is written by what reads it again

    counts: dict[str, int] = {}
    letters = DeadLetter.objects.waiting().filter(pk__in=list(letter_ids))
    for push_id in sorted(set(letters.values_list("push_id", flat=True))):
        with transaction.atomic():
            held = list(letters.filter(push_id=push_id).select_for_update().order_by("pk"))
            push = WebhookPush.objects.select_related("feed__source").get(pk=push_id)
            for letter, code in zip(held, receiver.again(push, [each.index for each in held]), strict=True):
                counts[code] = counts.get(code, 0) + 1
                _note(letter, code, now)
    return counts


def _note(letter: DeadLetter, code: str, now: datetime) -> None:
    done = now if code in APPLIED else None
    DeadLetter.objects.filter(pk=letter.pk).update(
        replayed_at=done, replay_code=code[:40], times=F("times") + int(not done)
    )


def replay_known(feed_id: int, *, now: datetime) -> dict[str, int]:
    """After new sites came in: whatever waited for an EVSE that we hold by now."""
    from stations.models import Connector, ExternalRef  # they name our models

    known = ExternalRef.objects.filter(
        source_id=OuterRef("feed__source_id"), kind=ExternalRef.Kind.EVSE,
        external_key__lower=Lower(OuterRef("subject")), object_id__in=Connector.objects.values("evse_id"),
    )  # fmt: skip
    waiting = DeadLetter.objects.waiting().filter(Exists(known), feed_id=feed_id, code="unknown_evse")
    return replay(list(waiting.order_by("last_at").values_list("pk", flat=True)[:MAX_AT_ONCE]), now=now)
