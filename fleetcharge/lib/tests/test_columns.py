"""Rows as columns of numpy: the values, none at all, and no null taken for a number."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetcharge.lib.columns import EPOCH, read_columns

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 22, 12, 30, 0, 123456, tzinfo=UTC)
QUERY = "SELECT n, n * 1.5::float8, n = 2, %(at)s::timestamptz, n::smallint FROM generate_series(1, %(last)s) n"


def test_columns_have_the_values_of_the_rows_in_their_order() -> None:
    whole, half, is_two, at, small = read_columns(QUERY, ("i4", "f8", "?", "i8", "i2"), {"at": AT, "last": 3})
    assert (whole.tolist(), half.tolist(), is_two.tolist()) == ([1, 2, 3], [1.5, 3.0, 4.5], [False, True, False])
    assert EPOCH + timedelta(microseconds=int(at[0])) == AT
    assert small.tolist() == [1, 2, 3]


def test_no_rows_are_columns_of_nothing() -> None:
    columns = read_columns(QUERY, ("i4", "f8", "?", "i8", "i2"), {"at": AT, "last": 0})
    assert [len(column) for column in columns] == [0] * 5


def test_a_null_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        read_columns("SELECT nullif(n, 2) FROM generate_series(1, 3) n", ("i4",), {})
