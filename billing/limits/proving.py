"""What limits have counted, held against the sessions themselves; and put right where it differs.

Only of limits whose sessions stay the same for ever: the whole fleet's, a vehicle's, a driver's. Which cost centre a
vehicle was of, or which tariff a plug had, when a session was counted is nowhere kept: what changes since is no fault.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from billing.limits import sql
from billing.limits.models import LimitUsage
from billing.limits.periods import zone_of
from fleetcharge.accounts.models import Organisation
from fleetcharge.accounts.services import audit
from fleetcharge.lib.sweeps import survived

AT_ONCE = 1_000
COUNTED = ("spent_paise", "spent_wh")
SPENT = "spending limit has spent other than its sessions cost"


def differing(*, limit: int, after: int = 0) -> list[tuple[Any, ...]]:
    """(usage, scope, first day, paise counted, paise of its sessions, Wh counted, Wh of its sessions).

    `after`: only usages of higher numbers.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SPENT_OTHERWISE, _values(limit=limit, after=after))
        return list(cursor.fetchall())


def repair(*, actor_label: str) -> int:
    """Count the differing ones anew, each in its own transaction with an audit entry; how many.

    Each is tried once: one that cannot be counted is left to the next look, and keeps no other waiting.
    """
    done, last_id = 0, 0
    while found := [row[0] for row in differing(limit=AT_ONCE, after=last_id)]:
        for pk in found:
            with survived("usage of a limit", pk):
                done += _repair(pk, actor_label)
        last_id = found[-1]
    return done


@transaction.atomic
def _repair(usage_id: Any, actor_label: str) -> bool:
    """Locked first: who counts a session meanwhile has committed by then, or adds to what we write."""
    usage = LimitUsage.objects.select_for_update(of=("self",)).filter(pk=usage_id).first()
    with connection.cursor() as cursor:
        cursor.execute(sql.SPENT_OTHERWISE, _values(limit=1, only=usage_id))
        row = cursor.fetchone()
        if usage is None or row is None:
            return False
        cursor.execute(sql.RECOUNT, {"usage": usage_id, "paise": row[4], "wh": row[6]})
    before = {name: getattr(usage, name) for name in COUNTED}
    audit(
        action="recount_limit", target=usage.limit, actor=None, actor_label=actor_label, before=before,
        after=dict(zip(COUNTED, (row[4], row[6]), strict=True)), reason=f"{SPENT}: {usage.period_start}",
        organisation=usage.limit.organisation,
    )  # fmt: skip
    return True


def _values(*, limit: int, after: int = 0, only: int | None = None) -> dict[str, Any]:
    """With the calendars of the fleets that have limits; one that nobody can read is India's."""
    fleets = list(_limited())
    return {
        "fleets": [pk for pk, _ in fleets], "zones": [zone_of(name).key for _, name in fleets], "limit": limit,
        "after": after, "only": only,
    }  # fmt: skip


def _limited() -> Iterator[tuple[int, str]]:
    rows = Organisation.objects.filter(spend_limits__isnull=False).distinct()
    yield from rows.values_list("pk", "time_zone")
