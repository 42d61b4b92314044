"""Two transactions that wait for each other: the one that PostgreSQL ends is begun once more."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

logger = logging.getLogger(__name__)
DEADLOCK = "40P01"
P = ParamSpec("P")
R = TypeVar("R")


def is_deadlock(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == DEADLOCK


def once_more_after_deadlock(work: Callable[P, R]) -> Callable[P, R]:
    """For a whole transaction, above its `atomic`. Within somebody's transaction the error is theirs: it has lost all.

    Raises OperationalError at the second deadlock.
    """

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            return work(*args, **kwargs)
        try:
            return work(*args, **kwargs)
        except OperationalError as error:
            if not is_deadlock(error):
                raise
            logger.info("%s begins once more after a deadlock", work.__name__)
        return work(*args, **kwargs)

    return run
