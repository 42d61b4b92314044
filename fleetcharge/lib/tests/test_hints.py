"""A Valkey that is well hears everything, a frozen one costs half a second, and nobody waits twice."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from django.db import transaction
from kombu.exceptions import OperationalError

from fleetcharge.celery import app
from fleetcharge.embedded.ports import random_free_port
from fleetcharge.embedded.valkey import find_binary
from fleetcharge.lib import hints

QUEUE = "celery"


@app.task(name="fleetcharge.lib.tests.noted")
def noted(number: int) -> None:
    """Never run here: we look at the queue."""


class Server:
    """A Valkey of our own that can be frozen: it takes connections (the kernel does) and says nothing."""

    def __init__(self) -> None:
        port = random_free_port()
        command = [str(find_binary()), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url, socket_timeout=60)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Valkey did not start"
                time.sleep(0.02)
            else:
                return

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def server(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    settings.REDIS_URL = server.url
    monkeypatch.setattr(app.conf, "broker_write_url", server.url)
    monkeypatch.setattr(hints, "valkey", hints.Breaker(quiet_seconds=60))
    monkeypatch.setattr(hints, "ANSWER_SECONDS", 2.0)  # what a frozen one costs; one that is well needs less
    hints._client.cache_clear()
    hints._producers.cache_clear()
    yield server
    server.end()
    hints._client.cache_clear()
    hints._producers.cache_clear()


def test_workers_and_listeners_are_told(server: Server) -> None:
    with server.client.pubsub() as listener:
        listener.subscribe("a-channel")
        assert listener.get_message(timeout=60)["type"] == "subscribe"
        hints.start(noted, 1)
        hints.start(noted, 2, countdown=2)
        hints.tell("a-channel", b"hello")
        assert listener.get_message(timeout=60)["data"] == b"hello"
    assert server.client.llen(QUEUE) == 2


def test_of_many_one_message_leaves(server: Server) -> None:
    hints.start_each(noted, [])
    assert server.client.llen(QUEUE) == 0
    hints.start_each(noted, [(1,)])
    hints.start_each(noted, [(number,) for number in range(50)])
    assert server.client.llen(QUEUE) == 2
    hints.pass_on(noted.name, [[number] for number in range(50)])
    assert server.client.llen(QUEUE) == 52


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_told_of_what_is_being_written_once_it_is_there(server: Server) -> None:
    with transaction.atomic():
        hints.start(noted, 1)
        assert server.client.llen(QUEUE) == 0
    assert server.client.llen(QUEUE) == 1
    with suppress(ArithmeticError), transaction.atomic():
        hints.start(noted, 2)
        raise ArithmeticError("so nothing was written")
    assert server.client.llen(QUEUE) == 1


@pytest.mark.parametrize("was_used", [True, False])
def test_a_frozen_one_is_asked_once_and_then_left_alone(
    server: Server, was_used: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if was_used:  # connections that were good before
        hints.start(noted, 0)
        hints.tell("a-channel", b"hello")
    tried: list[str] = []
    apply_async = noted.apply_async
    monkeypatch.setattr(noted, "apply_async", lambda *args, **how: (tried.append("task"), apply_async(*args, **how)))
    server.freeze()
    for number in range(50):
        hints.start(noted, number)
        hints.tell("a-channel", b"hello")
    assert len(tried) <= 1
    assert sum("waits for its sweep" in record.message for record in caplog.records) == 1
    server.thaw()


def test_it_is_tried_again_by_one_and_used_when_it_is_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "valkey", hints.Breaker(quiet_seconds=0.0))
    server.freeze()
    hints.start(noted, 1)
    server.thaw()
    hints.start(noted, 2)
    hints.start(noted, 3)
    assert server.client.llen(QUEUE) >= 2


def test_one_that_is_gone_stops_nobody(server: Server) -> None:
    server.end()
    hints.start(noted, 1)
    hints.tell("a-channel", b"hello")


def test_only_one_tries_while_the_others_go_on() -> None:
    breaker = hints.Breaker(quiet_seconds=0.0)
    with breaker.attempt("first") as is_well:
        assert is_well
        raise OperationalError("away")
    breaker.quiet_seconds = 60
    with breaker.attempt("the one that looks") as is_well:
        assert is_well
        with breaker.attempt("another") as may_too:
            assert not may_too
    for _ in range(2):
        with breaker.attempt("everybody") as is_well:
            assert is_well  # at once: it has answered


def test_a_mistake_of_ours_is_not_hidden() -> None:
    breaker = hints.Breaker()
    with pytest.raises(TypeError), breaker.attempt("nonsense"):
        raise TypeError("ours")
    with breaker.attempt("next") as is_well:
        assert is_well
