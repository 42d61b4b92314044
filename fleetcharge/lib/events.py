"""A bus for facts: lower apps publish what happened, higher apps subscribe, nobody imports upwards."""

import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db import transaction

Handler = Callable[[Any], None]
F = TypeVar("F", bound=Handler)

logger = logging.getLogger(__name__)
_handlers: dict[type, list[Handler]] = defaultdict(list)
_gatherers: dict[type, list[Handler]] = defaultdict(list)
_recorders: dict[type, list[Handler]] = defaultdict(list)


def subscribe(*event_types: type) -> Callable[[F], F]:
    """Register a function for one or more event classes; it runs after the publisher's commit."""
    return functools.partial(_register, _handlers, event_types)


def subscribe_many(*event_types: type) -> Callable[[F], F]:
    """As `subscribe`, for a function of a tuple of events of one type: all that were published together.

    For what thousands of chargers do at the same moment: it asks the database once, not once for each.
    """
    return functools.partial(_register, _gatherers, event_types)


def record(*event_types: type) -> Callable[[F], F]:
    """Register a function that runs at once, in the publisher's transaction: for rows that stand or fall with the fact.

    It must be cheap, call nobody outside the database, and put what might fail there into a savepoint.
    """
    return functools.partial(_register, _recorders, event_types)


def _register(registry: dict[type, list[Handler]], event_types: tuple[type, ...], handler: F) -> F:
    for event_type in event_types:
        if handler not in registry[event_type]:
            registry[event_type].append(handler)
    return handler


def publish(event: object) -> None:
    """Hand `event` to its recorders now, to its subscribers once the current transaction has committed (at once
    outside one)."""
    publish_together([event])


def publish_together(events: Iterable[object]) -> None:
    """Publish what one transaction did to many: each event to those who listen to one, those of a type at once to those
    who listen to many."""
    by_type: dict[type, list[object]] = defaultdict(list)
    for event in events:
        by_type[type(event)].append(event)
        for recorder in _recorders[type(event)]:
            _deliver(recorder, event)
    for event_type, alike in by_type.items():
        for handler in _handlers[event_type]:
            for event in alike:
                transaction.on_commit(functools.partial(_deliver, handler, event))
        for handler in _gatherers[event_type]:
            transaction.on_commit(functools.partial(_deliver, handler, tuple(alike)))


def publish_all(events: Iterable[object]) -> None:
    """Publish several events in order; call it in a thread, handlers may block on Valkey."""
    for event in events:
        publish(event)


def _deliver(handler: Handler, event: object) -> None:
    """A failing subscriber never hurts the publisher: its sweep will find the row again."""
    try:
        handler(event)
    except Exception:
        logger.exception("handler %s failed on %r", handler.__qualname__, event)
