"""A large document is written as Python's own encoder would, only sooner."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from fleetcharge.lib.fields import LargeJSONField, dumped

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(blacklist_categories=["Cs"]))
plain = st.none() | st.booleans() | numbers | texts
documents = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(texts | st.integers(), inner))


class Pair(NamedTuple):
    first: int
    second: str


@given(documents)
def test_what_is_written_is_what_python_writes(document: Any) -> None:
    assert json.loads(dumped(document)) == json.loads(json.dumps(document))


def test_kinds_of_what_json_has_are_written_as_that() -> None:
    said = {"pair": Pair(1, "x"), "metres": np.float64(2.5), "row": (1, 2), "wide": 2**80}
    assert json.loads(dumped(said)) == {"pair": [1, "x"], "metres": 2.5, "row": [1, 2], "wide": 2**80}


@pytest.mark.parametrize("value", [Decimal("1.5"), datetime(2026, 3, 2), object(), {1, 2}])
def test_what_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        dumped({"value": value})


def test_migrations_see_the_field_of_django() -> None:
    path, usual = LargeJSONField(default=dict).deconstruct()[1], models.JSONField(default=dict).deconstruct()
    assert (path, LargeJSONField(default=dict).deconstruct()[3]) == ("django.db.models.JSONField", usual[3])
    assert usual[1] == path
