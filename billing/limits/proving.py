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

COUNTED = ("spent_paise", "spent_wh")
SPENT = "spending limit has spent other than its sessions cost"


def differing(*, limit: int) -> list[tuple[object, ...]]:
    """(usage, scope, first day, paise counted, paise of its sessions, Wh counted, Wh of its sessions)."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SPENT_OTHERWISE, _zones() | {"limit": limit, "only": None})
        return list(cursor.fetchall())


def repair(*, actor_label: str) -> int:
    """Count the differing ones anew, each in its own transaction with an audit entry; how many."""
    done, seen = 0, set[object]()
    while fresh := [row[0] for row in differing(limit=1_000) if row[0] not in seen]:
        seen.update(fresh)
        done += sum(_repair(pk, actor_label) for pk in fresh)
    return done


@transaction.atomic
def _repair(usage_id: Any, actor_label: str) -> bool:
    """Locked first: who counts a session meanwhile has committed by then, or adds to what we write."""
    usage = LimitUsage.objects.select_for_update(of=("self",)).filter(pk=usage_id).first()
    with connection.cursor() as cursor:
        cursor.execute(sql.SPENT_OTHERWISE, _zones() | {"limit": 1, "only": usage_id})
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


def _zones() -> dict[str, list[Any]]:
    """The calendars of the fleets that have limits; one that nobody can read is India's."""
    fleets = list(_limited())
    return {"fleets": [pk for pk, _ in fleets], "zones": [zone_of(name).key for _, name in fleets]}


def _limited() -> Iterator[tuple[int, str]]:
    rows = Organisation.objects.filter(spend_limits__isnull=False).distinct()
    yield from rows.values_list("pk", "time_zone")
