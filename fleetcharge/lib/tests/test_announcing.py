"""What is set aside is told once, later, many at once; what is undone never."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db import transaction

from fleetcharge.lib import announcing, events
from fleetcharge.lib.announcing import Announcer


@dataclass(frozen=True)
class Plugged:
    number: int


class Listener:
    """Remembers what it heard, and can be made to wait in the middle."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, ...]] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.has_begun = threading.Event()

    def __call__(self, together: tuple[Plugged, ...]) -> None:
        self.has_begun.set()
        self.gate.wait(60)
        self.threads.add(threading.current_thread().name)
        self.heard.append(tuple(event.number for event in together))

    __qualname__ = "Listener"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    events.subscribe_many(Plugged)(listener)
    yield listener
    events._gatherers.pop(Plugged)


@pytest.fixture
def announcer() -> Iterator[Announcer]:
    announcer = Announcer("test-news", every_seconds=60)  # the second round comes only when it is closed
    yield announcer
    announcer.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_set_aside_is_not_told_by_the_commit(listener: Listener) -> None:
    with events.set_aside() as news:
        with transaction.atomic():
            events.publish_together([Plugged(1), Plugged(2)])
        with pytest.raises(RuntimeError), transaction.atomic():
            events.publish(Plugged(3))
            raise RuntimeError
        events.publish(Plugged(4))
    assert listener.heard == []
    assert news == [Plugged(1), Plugged(2), Plugged(4)]
    events.publish(Plugged(5))
    assert listener.heard == [(5,)]
    events.deliver(news)
    assert listener.heard == [(5,), (1, 2, 4)]


@pytest.mark.django_db(transaction=True)
def test_another_thread_sets_nothing_aside(listener: Listener) -> None:
    with events.set_aside() as news:
        thread = threading.Thread(target=events.publish, args=[Plugged(1)])
        thread.start()
        thread.join(60)
    assert (news, listener.heard) == ([], [(1,)])


@pytest.mark.django_db(transaction=True)
def test_what_comes_while_others_are_told_is_told_together(listener: Listener, announcer: Announcer) -> None:
    listener.gate.clear()
    announcer.announce([Plugged(1)])
    assert listener.has_begun.wait(60)
    announcer.announce([Plugged(2)])
    announcer.announce([])
    announcer.announce([Plugged(3), Plugged(4)])
    assert listener.heard == []
    listener.gate.set()
    announcer.close()
    assert listener.heard == [(1,), (2, 3, 4)]
    assert listener.threads == {"test-news_0"}


@pytest.mark.django_db(transaction=True)
def test_an_announcer_that_was_closed_begins_again(listener: Listener, announcer: Announcer) -> None:
    for number in range(3):
        announcer.announce([Plugged(number)])
        announcer.close()
    assert listener.heard == [(0,), (1,), (2,)]


@pytest.mark.django_db(transaction=True)
def test_without_a_thread_it_waits_for_the_next_chance(
    listener: Listener, announcer: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(announcing.ThreadPoolExecutor, "submit", no_thread)
        announcer.announce([Plugged(1)])
    assert listener.heard == []
    announcer.announce([Plugged(2)])
    announcer.close()
    assert listener.heard == [(1, 2)]


@pytest.mark.django_db(transaction=True)
def test_subscribers_that_take_for_ever_cost_no_memory_without_end(
    listener: Listener, announcer: Announcer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcing, "MOST_WAITING", 3)
    listener.gate.clear()
    announcer.announce([Plugged(1)])
    assert listener.has_begun.wait(60)
    announcer.announce([Plugged(number) for number in range(2, 7)])
    listener.gate.set()
    announcer.close()
    assert listener.heard == [(1,), (4, 5, 6)]
    assert "2 events were not told" in caplog.text
