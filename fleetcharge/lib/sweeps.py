"""Sweeps work row by row, and one bad row is nobody else's problem."""

import contextlib
import logging
from collections.abc import Iterator

from fleetcharge.lib.precedence import stand_aside

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def survived(kind: str, number: object) -> Iterator[None]:
    """One row that cannot be worked on never keeps the rest of a sweep waiting; it is logged with its traceback.

    Outside any transaction of the sweep's own: each row's work is its own transaction. Before it, who is in a hurry
    goes first.
    """
    stand_aside()
    try:
        yield
    except Exception:
        logger.exception("the sweep could not work on %s %s", kind, number)
