"""Sweeps stand aside for who is in a hurry, for a while, and never with locks in their hands."""

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import transaction

from fleetcharge.lib import precedence, sweeps
from fleetcharge.lib.precedence import Precedence


@pytest.fixture
def turns() -> Precedence:
    return Precedence()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(precedence, "MOST_SECONDS", 60.0)
    monkeypatch.setattr(precedence._OfThread, "_left", 60.0)
    yield


def in_a_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


@pytest.mark.usefixtures("patient")
def test_a_sweep_goes_on_when_the_last_one_in_a_hurry_is_done(turns: Precedence) -> None:
    order = []

    def sweep() -> None:
        turns.stand_aside()
        order.append("sweep")

    with turns.hurried():
        with turns.hurried():
            sweeping = in_a_thread(sweep)
        order.append("plan")
    sweeping.join(30)
    assert order == ["plan", "sweep"]


@pytest.mark.usefixtures("patient")
def test_nobody_waits_for_himself_or_where_nobody_hurries(turns: Precedence) -> None:
    began = time.monotonic()
    turns.stand_aside()
    with turns.hurried():
        turns.stand_aside()
    turns.stand_aside()
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("patient")
@pytest.mark.django_db
def test_nobody_waits_inside_a_transaction(turns: Precedence) -> None:
    release, began = threading.Event(), threading.Event()

    def hurry() -> None:
        with turns.hurried():
            began.set()
            release.wait(60)

    hurrying = in_a_thread(hurry)
    began.wait(30)
    with transaction.atomic():
        turns.stand_aside()
    assert hurrying.is_alive()
    release.set()
    hurrying.join(30)


def test_patience_ends_and_grows_again_by_half_of_the_time() -> None:
    own = precedence._OfThread()
    assert own.patience(1_000.0) == 2.0
    own.has_waited(2.0, 1_000.0, 1_002.0)
    assert [own.patience(1_002.0 + passed) for passed in (0.0, 1.0, 10.0)] == [0.0, 0.5, 2.0]


def test_each_row_of_a_sweep_stands_aside_first(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(sweeps, "stand_aside", lambda: said.append("aside"))
    for row in (1, 2):
        with sweeps.survived("row", row):
            said.append("row")
    assert said == ["aside", "row", "aside", "row"]


def test_what_fails_in_a_hurry_keeps_nobody_waiting(turns: Precedence) -> None:
    with pytest.raises(ValueError, match="no"), turns.hurried():
        raise ValueError("no")
    assert not turns._in_a_hurry
