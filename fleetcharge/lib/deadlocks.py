"""Two transactions that wait for each other: the one that PostgreSQL ends is begun again."""

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

logger = logging.getLogger(__name__)
DEADLOCK = "40P01"
TRIES = 4
PAUSE_SECONDS = 0.05
P = ParamSpec("P")
R = TypeVar("R")


def is_deadlock(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == DEADLOCK


def again_after_deadlock(work: Callable[P, R]) -> Callable[P, R]:
    """For a whole transaction, above its `atomic`. Within somebody's transaction the error is theirs: it has lost all.

    It begins again after a short pause, or it might take the same row once more before the other has woken up.
    Raises OperationalError at the fourth deadlock.
    """

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            return work(*args, **kwargs)
        for attempt in range(1, TRIES):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                if not is_deadlock(error):
                    raise
                logger.info("%s begins again after a deadlock", work.__name__)
                time.sleep(random.uniform(0.2, 1) * PAUSE_SECONDS * attempt)  # noqa: S311 (no secret)
        return work(*args, **kwargs)

    return run
