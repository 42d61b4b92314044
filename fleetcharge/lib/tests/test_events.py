"""Facts reach their subscribers after the commit, and never hurt the publisher."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from fleetcharge.lib import events


@dataclass(frozen=True)
class Happened:
    what: str


@pytest.fixture
def heard() -> Iterator[list[str]]:
    said: list[str] = []

    def listen(event: Happened) -> None:
        said.append(event.what)

    events.subscribe(Happened)(listen)
    yield said
    events._handlers.pop(Happened)


@pytest.mark.django_db(transaction=True)
def test_a_fact_is_heard_only_after_the_commit(heard: list[str]) -> None:
    with transaction.atomic():
        events.publish(Happened("paid"))
        assert heard == []
    assert heard == ["paid"]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_fact_never_happened(heard: list[str]) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        events.publish(Happened("paid"))
        raise RuntimeError
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_a_failing_subscriber_hurts_neither_publisher_nor_the_next_subscriber(
    heard: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def explode(event: Happened) -> None:
        raise ValueError("broken subscriber")

    events.subscribe(Happened)(explode)
    events._handlers[Happened].reverse()
    events.publish(Happened("paid"))
    assert heard == ["paid"]
    assert "broken subscriber" in caplog.text


def test_subscribing_twice_delivers_once(heard: list[str]) -> None:
    listener = events._handlers[Happened][0]
    events.subscribe(Happened)(listener)
    assert events._handlers[Happened] == [listener]


@pytest.fixture
def recorded() -> Iterator[list[str]]:
    """A recorder that writes a row of its own beside the fact."""
    names: list[str] = []

    def keep(event: Happened) -> None:
        names.append(event.what)
        Session.objects.create(session_key=event.what, expire_date=timezone.now())

    events.record(Happened)(keep)
    yield names
    events._recorders.pop(Happened)


@pytest.mark.django_db(transaction=True)
def test_a_recorder_writes_in_the_publishers_transaction(recorded: list[str]) -> None:
    with transaction.atomic():
        events.publish(Happened("kept"))
        assert recorded == ["kept"]
    with pytest.raises(RuntimeError), transaction.atomic():
        events.publish(Happened("undone"))
        raise RuntimeError
    assert recorded == ["kept", "undone"]
    assert list(Session.objects.values_list("session_key", flat=True)) == ["kept"]


@pytest.fixture
def gathered() -> Iterator[list[list[str]]]:
    said: list[list[str]] = []

    def listen(happened: tuple[Happened, ...]) -> None:
        said.append([event.what for event in happened])

    events.subscribe_many(Happened)(listen)
    yield said
    events._gatherers.pop(Happened)


@pytest.mark.django_db(transaction=True)
def test_what_happened_together_is_heard_together_after_the_commit(
    heard: list[str], gathered: list[list[str]], recorded: list[str]
) -> None:
    with transaction.atomic():
        events.publish_together([Happened("one"), Happened("two")])
        assert (recorded, heard, gathered) == (["one", "two"], [], [])
    assert (heard, gathered) == (["one", "two"], [["one", "two"]])
    with pytest.raises(RuntimeError), transaction.atomic():
        events.publish_together([Happened("undone")])
        raise RuntimeError
    assert gathered == [["one", "two"]]


@pytest.mark.django_db(transaction=True)
def test_one_alone_is_many_of_one(gathered: list[list[str]]) -> None:
    events.publish(Happened("alone"))
    assert gathered == [["alone"]]
