"""What is remembered of a row is forgotten with its next update, whoever makes it."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.utils import timezone

from fleetcharge.lib.remembered import Remembered, version

pytestmark = pytest.mark.django_db(transaction=True)


class Readings:
    """Session keys by a number, and which were read."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []
        self.rows: dict[int, str] = {}

    def __call__(self, numbers: Sequence[int]) -> Mapping[int, str]:
        self.read.append(list(numbers))
        return {number: self.rows[number] for number in numbers if number in self.rows}


@pytest.fixture
def readings() -> Readings:
    return Readings()


def test_only_what_changed_is_read_again(readings: Readings) -> None:
    remembered = Remembered(readings)
    readings.rows = {1: "one", 2: "two"}
    assert remembered.get({1: "a", 2: "b"}) == {1: "one", 2: "two"}
    assert remembered.get({2: "b", 1: "a"}) == {1: "one", 2: "two"}
    readings.rows = {1: "uno", 2: "due", 3: "tre"}
    assert remembered.get({1: "a", 2: "c", 3: "d", 4: "gone meanwhile"}) == {1: "one", 2: "due", 3: "tre"}
    assert readings.read == [[1, 2], [2, 3, 4]]
    assert remembered.get({}) == {}


def test_it_does_not_grow_without_end(readings: Readings) -> None:
    remembered = Remembered(readings, max_entries=3)
    readings.rows = {number: str(number) for number in range(100)}
    for number in range(100):
        assert remembered.get({number: "v"}) == {number: str(number)}
        assert len(remembered._held) <= 3


def version_of(key: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {version('s')} FROM django_session s WHERE session_key = %s", [key])
        return str(cursor.fetchone()[0])


def _once(row: Session) -> None:
    Session.objects.filter(pk=row.pk).update(session_data="new")


def _to_the_same_value(row: Session) -> None:
    Session.objects.filter(pk=row.pk).update(session_data="old")


def _twice_in_one_transaction(row: Session) -> None:
    with transaction.atomic():
        before = version_of(row.pk)
        _once(row)
        assert version_of(row.pk) != before
        before = version_of(row.pk)
        _once(row)
        assert version_of(row.pk) != before


def _gone_and_made_anew(row: Session) -> None:
    row.delete()
    Session.objects.create(session_key="key", session_data="old", expire_date=timezone.now())


@pytest.mark.parametrize("change", [_once, _to_the_same_value, _twice_in_one_transaction, _gone_and_made_anew])
def test_every_change_of_a_row_changes_its_version(change: Callable[[Session], None]) -> None:
    row = Session.objects.create(session_key="key", session_data="old", expire_date=timezone.now())
    before = version_of("key")
    assert version_of("key") == before
    with transaction.atomic():
        Session.objects.select_for_update().get(pk="key")
    assert version_of("key") == before  # a lock is no change
    change(row)
    assert version_of("key") != before
