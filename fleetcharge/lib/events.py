"""A bus for facts: lower apps publish what happened, higher apps subscribe, nobody imports upwards."""

import contextlib
import functools
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db import transaction

Handler = Callable[[Any], None]
F = TypeVar("F", bound=Handler)

logger = logging.getLogger(__name__)
_handlers: dict[type, list[Handler]] = defaultdict(list)
_gatherers: dict[type, list[Handler]] = defaultdict(list)
_recorders: dict[type, list[Handler]] = defaultdict(list)
_clerks: dict[type, list[Handler]] = defaultdict(list)
_aside = threading.local()


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


def record_many(*event_types: type) -> Callable[[F], F]:
    """As `record`, for a function of a tuple of events of one type: all that are published together."""
    return functools.partial(_register, _clerks, event_types)


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
    for event_type, alike in _by_type(events).items():
        _hand_out(alike, _recorders[event_type], _clerks[event_type])
        if _handlers[event_type] or _gatherers[event_type]:
            transaction.on_commit(functools.partial(_tell, alike))


@contextlib.contextmanager
def set_aside() -> Iterator[list[object]]:
    """What this thread commits within is not told its subscribers, but collected: for `deliver`, once there is time.

    For hot paths, whose callers wait for the commit and not for what follows from it.
    """
    _aside.events = waiting = list[object]()
    try:
        yield waiting
    finally:
        _aside.events = None


def deliver(events: Iterable[object]) -> None:
    """Tell the subscribers of what was set aside, those of many of all that is alike at once."""
    for event_type, alike in _by_type(events).items():
        _hand_out(alike, _handlers[event_type], _gatherers[event_type])


def _by_type(events: Iterable[object]) -> dict[type, list[object]]:
    by_type: dict[type, list[object]] = defaultdict(list)
    for event in events:
        by_type[type(event)].append(event)
    return by_type


def _tell(events: list[object]) -> None:
    waiting: list[object] | None = getattr(_aside, "events", None)
    if waiting is None:
        deliver(events)
    else:
        waiting += events


def _hand_out(events: Sequence[object], to_each: Iterable[Handler], to_all: Iterable[Handler]) -> None:
    for handler in to_each:
        for event in events:
            _deliver(handler, event)
    for handler in to_all:
        _deliver(handler, tuple(events))


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
