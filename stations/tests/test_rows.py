"""Many rows in one statement, each with values of its own, and no value bent to fit."""

from datetime import timedelta

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleetcharge.lib.rows import update_each
from stations.models import Location
from stations.tests.factories import make_location, make_source

pytestmark = pytest.mark.django_db


def test_each_row_gets_its_own_values_in_one_statement() -> None:
    source = make_source()
    rows = [make_location(source=source) for _ in range(3)]
    untouched = make_location(source=source, name="Untouched")
    long_ago = timezone.now() - timedelta(days=9)
    Location.objects.update(updated_at=long_ago)
    for number, row in enumerate(rows):
        row.name, row.latitude = f'Site {number} "é" {{,}} NULL', number
        row.opening_times = {"twentyfourseven": True} if number else None
        row.merged_into = rows[0] if number else None
        row.removed_because = Location.Removal.MERGED if number else ""
        row.city = "not written"
    with CaptureQueriesContext(connection) as seen:
        update_each(rows, ["name", "latitude", "opening_times", "merged_into", "removed_because", "updated_at"])
    assert len(seen) == 1
    for number, row in enumerate(rows):
        held = Location.objects.get(pk=row.pk)
        assert (held.name, held.latitude, held.city) == (f'Site {number} "é" {{,}} NULL', number, "Bengaluru")
        assert held.opening_times == ({"twentyfourseven": True} if number else None)
        assert (held.merged_into, held.removed_because) == ((rows[0], "merged") if number else (None, ""))
        assert held.updated_at > long_ago
    untouched.refresh_from_db()
    assert (untouched.name, untouched.updated_at) == ("Untouched", long_ago)


def test_nothing_to_write_asks_nobody() -> None:
    with CaptureQueriesContext(connection) as seen:
        update_each([], ["name"])
    assert len(seen) == 0


def test_what_is_too_long_is_refused_and_not_cut() -> None:
    row = make_location(source=make_source())
    row.name = "x" * 300
    with pytest.raises(DataError):
        update_each([row], ["name"])
