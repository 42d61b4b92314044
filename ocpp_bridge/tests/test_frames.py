"""The codec reads everything and raises nothing; error codes are spelled as each edition spells them."""

import subprocess
import sys
import time

import orjson
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ocpp_bridge import frames
from ocpp_bridge.dialects import V16, V21, V201, Dialect
from ocpp_bridge.frames import Call, CallError, Malformed, Result

LIMIT = 64 * 1024


def parse(text: str | bytes, dialect: Dialect = V16) -> frames.Frame:
    return frames.parse(text, dialect, limit_bytes=LIMIT)


def test_a_call_is_read() -> None:
    assert parse('[2,"a1","Heartbeat",{}]') == Call("a1", "Heartbeat", {})


def test_results_and_errors_are_read() -> None:
    assert parse('[3,"a1",{"status":"Accepted"}]') == Result("a1", {"status": "Accepted"})
    assert parse('[4,"a1","GenericError","no",{}]') == CallError("a1", "GenericError", "no", {})
    assert parse('[4,"a1","GenericError"]') == CallError("a1", "GenericError", "", {})


@pytest.mark.parametrize(
    ("text", "code_16", "id_16", "code_201", "id_201"),
    [
        ("not json", "FormationViolation", None, "RpcFrameworkError", "-1"),
        ('[2,"a1","Heartbeat",{', "FormationViolation", "a1", "RpcFrameworkError", "a1"),
        ("{}", "FormationViolation", None, "RpcFrameworkError", "-1"),
        ("[]", "FormationViolation", None, "RpcFrameworkError", "-1"),
        ('[2,"a1"]', "FormationViolation", "a1", "RpcFrameworkError", "a1"),
        ('[2,null,"Heartbeat",{}]', "FormationViolation", None, "RpcFrameworkError", "-1"),
        ('[2,"a1","Heartbeat"]', "FormationViolation", "a1", "RpcFrameworkError", "a1"),
        ('[2,"a1","Heartbeat",{},{}]', "FormationViolation", "a1", "RpcFrameworkError", "a1"),
        ('[2,"a1",7,{}]', "FormationViolation", "a1", "RpcFrameworkError", "a1"),
        ('[2,"a1","Heartbeat",[]]', "FormationViolation", "a1", "FormatViolation", "a1"),
        ('[2,"a1","Heartbeat",null]', "FormationViolation", "a1", "FormatViolation", "a1"),
        ('[9,"a1","Heartbeat",{}]', "", None, "MessageTypeNotSupported", "a1"),
    ],
)
def test_each_malformed_frame_gets_the_code_of_its_edition(
    text: str, code_16: str, id_16: str | None, code_201: str, id_201: str
) -> None:
    for dialect, code, message_id in ((V16, code_16, id_16), (V201, code_201, id_201), (V21, code_201, id_201)):
        frame = parse(text, dialect)
        assert isinstance(frame, Malformed)
        assert (frame.code, frame.message_id) == (code, message_id)


def test_an_oversize_frame_is_answered_by_the_id_in_its_first_bytes() -> None:
    frame = parse('[2,"big","DataTransfer",{"vendorId":"x","data":"' + "y" * LIMIT + '"}]')
    assert frame == Malformed("big", "FormationViolation", f"Frame is larger than {LIMIT} bytes")


def test_a_deep_frame_is_answered_without_being_parsed() -> None:
    frame = parse('[2,"deep","DataTransfer",' + '{"a":' * 40 + "1" + "}" * 40 + "]", V201)
    assert frame == Malformed("deep", "FormatViolation", "Nested deeper than 32 levels")


def test_many_brackets_side_by_side_are_not_deep() -> None:
    payload = {"data": [[["[[[["]] for _ in range(200)]}
    frame = parse(orjson.dumps([2, "wide", "DataTransfer", payload]))
    assert frame == Call("wide", "DataTransfer", payload)


def test_thirty_two_levels_are_the_limit() -> None:
    assert isinstance(parse('[2,"a","X",' + '{"a":' * 31 + "1" + "}" * 31 + "]"), Call)
    assert isinstance(parse('[2,"a","X",' + '{"a":' * 32 + "1" + "}" * 32 + "]"), Malformed)


def test_an_absurdly_deep_unbalanced_frame_is_malformed() -> None:
    assert isinstance(parse("[" * 50_000), Malformed)


ENDLESS = r"""
from ocpp_bridge import frames
from ocpp_bridge.dialects import V16
for escape in ('\\"', "\\\\", "\\\n", '"', '"\\', '\\\\"'):
    text = '[2,"1","Heartbeat",{"a":' + "[" * 40 + '"' + escape * 2**20
    print(frames.parse(text[:2**20], V16, limit_bytes=2**20).message_id)
"""


def test_a_mebibyte_of_escapes_in_a_string_without_end_is_read_in_one_pass() -> None:
    """In a process of its own: what goes back at every quote takes hours, and nothing interrupts it."""
    done = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"1"] * 6


def test_nul_characters_are_dropped_because_no_text_column_takes_them() -> None:
    frame = parse('[2,"a","DataTransfer",{"ven\\u0000dor":["x\\u0000y"]}]')
    assert frame == Call("a", "DataTransfer", {"vendor": ["xy"]})


def test_a_numeric_id_is_echoed_as_it_came() -> None:
    assert parse('[2,17,"Heartbeat",{}]') == Call(17, "Heartbeat", {})
    assert frames.encode_result(17, {}) == "[3,17,{}]"


def test_a_send_is_read_in_2_1_and_answered_by_nobody() -> None:
    assert parse('[6,"s1","NotifyPeriodicEventStream",{}]', V21) == frames.Send("s1", "NotifyPeriodicEventStream", {})
    assert parse('[6,"s1","NotifyPeriodicEventStream"]', V21).message_id is None
    assert parse('[6,"s1","NotifyPeriodicEventStream",{}]', V201).code == "MessageTypeNotSupported"  # type: ignore[union-attr]


def test_a_charger_that_cannot_use_our_answer_says_so_in_2_1() -> None:
    assert parse('[5,"r1","FormatViolation","no",{}]', V21) == frames.ResultError("r1", "FormatViolation", "no", {})


TOKEN = {"idToken": "A", "type": "Central"}


@pytest.mark.parametrize(
    ("dialect", "payload", "code"),
    [
        (V16, {}, "OccurenceConstraintViolation"),
        (V16, {"idTag": "A", "x": 1}, "FormationViolation"),
        (V16, {"idTag": 7}, "TypeConstraintViolation"),
        (V16, {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        (V201, {}, "OccurrenceConstraintViolation"),
        (V201, {"idToken": TOKEN, "x": 1}, "FormatViolation"),
        (V201, {"idToken": 7}, "TypeConstraintViolation"),
        (V201, {"idToken": TOKEN | {"type": "Magic"}}, "PropertyConstraintViolation"),
        (V201, {"idToken": TOKEN, "iso15118CertificateHashData": []}, "OccurrenceConstraintViolation"),
    ],
)
def test_schema_errors_map_to_the_codes_of_the_edition(dialect: Dialect, payload: object, code: str) -> None:
    error = dialect.request_error("Authorize", payload)
    assert error is not None and error[0] == code


def test_every_packaged_schema_compiles() -> None:
    for dialect in (V16, V201, V21):
        assert len(dialect.actions) >= 30
        for action in dialect.actions:
            dialect.request_error(action, {})
            if action not in dialect.sends:
                dialect.response_error(action, {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@seed(20261121)
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.binary(max_size=200), st.text(alphabet='[]{}",:2aé\\u0', max_size=60)))
def test_any_text_is_one_of_the_four_frames(raw: str | bytes) -> None:
    for dialect in (V16, V201, V21):
        assert isinstance(parse(raw, dialect), Call | Result | CallError | Malformed)


@seed(20261121)
@settings(max_examples=200, deadline=None)
@given(st.lists(json_values, max_size=6))
def test_any_json_list_is_one_of_the_four_frames(value: list[object]) -> None:
    try:
        raw = orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return
    for dialect in (V16, V201, V21):
        frame = parse(raw, dialect)
        assert isinstance(frame, Call | Result | CallError | Malformed)
        if isinstance(frame, Malformed) and frame.message_id is not None:
            frames.encode_error(frame.message_id, frame.code, frame.description)


@seed(20261121)
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(V16.actions | V201.actions | V21.actions)),
    st.dictionaries(st.text(max_size=12), json_values),
)
def test_no_payload_makes_the_validators_raise(action: str, payload: dict[str, object]) -> None:
    for dialect in (V16, V201, V21):
        if action in dialect.actions:
            error = dialect.request_error(action, payload)
            assert error is None or len(error[1]) <= 255


def cpu_seconds(dialect: Dialect, action: str, payload: dict[str, object]) -> float:
    began = time.thread_time()
    dialect.request_error(action, payload)
    return time.thread_time() - began


def test_a_big_frame_with_flaws_is_refused_at_its_first_flaw() -> None:
    """Every flaw of a hundred thousand took seconds, and all other chargers waited; a flawless one is the measure."""
    whole = {"timestamp": "2026-11-21T06:00:00Z", "sampledValue": [{"value": "1"}]}
    cpu_seconds(V16, "MeterValues", {})  # its schema is compiled
    flawless = cpu_seconds(V16, "MeterValues", {"connectorId": 1, "meterValue": [whole] * 50_000})
    flawed = cpu_seconds(V16, "MeterValues", {"connectorId": 1, "meterValue": [{}] * 50_000})
    assert flawed < 5 * flawless


@pytest.mark.parametrize("text, is_fine", [
    ("[" * 32 + "]" * 32, True),
    ("[" * 33 + "]" * 33, False),
    ('{"a":' * 20 + "[" * 12 + "]" * 12 + "}" * 20, True),
    ("[" * 50_000, False),
    ("[]" * 50_000, True),
    ('["' + "[" * 50_000 + '"]', True),
    ('["a\\"' + "[" * 50_000 + '"]', True),
    ('["' + "[" * 50_000, True),  # a text without an end is no nesting
    ("]" * 50_000 + "[" * 33, True),  # is no JSON at its first letter
    ("no bracket", True),
])  # fmt: skip
def test_depth_is_counted_outside_texts(text: str, is_fine: bool) -> None:
    assert frames.is_shallow(text.encode()) is is_fine
