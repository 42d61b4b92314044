"""How a row is worked on by one worker at a time, and when it is looked at again; shared by all calls."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import models
from django.db.models import F, Q

from billing.gateways.errors import GatewayFailure
from billing.models.payments import GatewayCall

LEASE = timedelta(minutes=2)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)
C = TypeVar("C", bound=GatewayCall)


def claim(rows: "models.QuerySet[C]", *, now: datetime, **changes: Any) -> bool:
    """Take the row of `rows` for the time of a lease, and write `changes` before anything is asked of the gateway.

    False when somebody has it, or it is no longer among `rows`. A worker that dies leaves it to the sweep.
    """
    free = rows.filter(Q(leased_until=None) | Q(leased_until__lte=now))
    lease = now + LEASE
    return free.update(leased_until=lease, next_try_at=lease, attempts=F("attempts") + 1, **changes) == 1


def due(rows: "models.QuerySet[C]", *, now: datetime, limit: int) -> Sequence[int]:
    """Primary keys of rows whose time has come, the longest waiting first."""
    waiting = rows.filter(next_try_at__lte=now).filter(Q(leased_until=None) | Q(leased_until__lte=now))
    return list(waiting.order_by("next_try_at").values_list("pk", flat=True)[:limit])


def wait(attempts: int) -> timedelta:
    """Doubling, from a quarter of a minute to an hour."""
    return min(LONGEST_WAIT, FIRST_WAIT * int(2 ** min(attempts, 12)))


def words(failure: GatewayFailure) -> dict[str, Any]:
    """What is kept of a failure."""
    return {name: value for name, value in vars(failure.said).items() if value}
