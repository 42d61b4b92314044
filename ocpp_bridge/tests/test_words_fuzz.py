"""Whatever a caller puts into parameters: what goes on the wire fits the schema, or the command says why it cannot."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpp_bridge import vocabulary
from ocpp_bridge.dialects import DIALECTS
from ocpp_bridge.models import Command
from ocpp_bridge.station import Unusable
from ocpp_bridge.tests.test_words import EXAMPLES

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30)
    | st.sampled_from(["1e999", "-1", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "tx", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["purpose", "kind"]), inner),
    max_leaves=5,
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An action with good parameters of which one, somewhere, is something else, or gone."""
    action = draw(st.sampled_from(Command.Action.values))
    parameters: dict[str, Any] = orjson.loads(orjson.dumps(EXAMPLES[action]))
    place: Any = parameters
    while place:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and draw(st.integers(0, 4)) == 0:
            del place[key]
        else:
            place[key] = draw(VALUES)
        break
    return action, parameters


@pytest.mark.parametrize("protocol", vocabulary.SPEAKERS)
@settings(max_examples=700, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=spoiled())
def test_no_parameters_put_nonsense_on_the_wire(protocol: str, case: tuple[str, dict[str, Any]]) -> None:
    try:
        wire_action, payload = vocabulary.say(protocol, *case)
    except Unusable as error:
        assert str(error)
        return
    again = orjson.loads(orjson.dumps(payload))
    assert DIALECTS[protocol].request_error(wire_action, again) is None
    assert not any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf in _leaves(payload))


@pytest.mark.parametrize("protocol", vocabulary.SPEAKERS)
@pytest.mark.parametrize("cost", ["1e999", "NaN", "-1", "-Infinity", "much"])
def test_a_cost_is_a_finite_amount(protocol: str, cost: str) -> None:
    with pytest.raises(Unusable):
        vocabulary.say(protocol, "CostUpdated", {"transaction_ref": "1", "total_cost": cost})


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]
