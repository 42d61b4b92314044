"""The OCPP-J frame codec: bounded, parsed once, and no input makes it raise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy
import orjson

from ocpp_bridge.dialects import Dialect

CALL, RESULT, ERROR, RESULT_ERROR, SEND = 2, 3, 4, 5, 6
MAX_DEPTH = 32
MAX_ID_LENGTH, MAX_ECHO = 36, 255

MessageId = str | int
# What the recorder and the counters are told of a frame: kind, message id, action, error code, seconds to the answer.
Head = tuple[int, MessageId, str, str, float | None]

_ID_IN_HEAD = re.compile(r'\s*\[\s*2(?:\.0+)?\s*,\s*("(?:[^"\\]|\\.){0,255}"|-?\d{1,18})\s*(?:,|\])')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.S)  # nothing to try again, even when a string never ends
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BACKSLASH = ord("\\")  # looking for a number is five times as quick as for a text
_STEPS = bytes.maketrans(b"{[}]", bytes([1, 1, 255, 255]))  # one level up, one level down


@dataclass(slots=True)
class Call:
    """A request: [2, id, action, payload]."""

    message_id: MessageId
    action: str
    payload: dict[str, Any]


@dataclass(slots=True)
class TypedCall:
    """A request whose payload fits its schema, read into a class (v16/typed.py)."""

    message_id: str
    action: str
    payload: msgspec.Struct


class Send(Call):
    """A message nobody answers: [6, id, action, payload], OCPP 2.1."""

    __slots__ = ()


@dataclass(slots=True)
class Result:
    """An answer to a request of ours: [3, id, payload]."""

    message_id: MessageId
    payload: Any


@dataclass(slots=True)
class CallError:
    """A refusal of a request of ours: [4, id, code, description, details]."""

    message_id: MessageId
    code: str
    description: str
    details: Any


class ResultError(CallError):
    """The charger could not use an answer of ours: [5, id, code, description, details], OCPP 2.1."""

    __slots__ = ()


@dataclass(slots=True)
class Malformed:
    """Not a frame. `message_id` None: nobody can be answered, the frame is only counted."""

    message_id: MessageId | None
    code: str
    description: str


Frame = Call | Result | CallError | Malformed
Readers = Mapping[str, msgspec.json.Decoder[Any]]  # by action; each takes less than its schema, never more
_HEAD: msgspec.json.Decoder[tuple[Literal[2], str, str, msgspec.Raw]] = msgspec.json.Decoder(
    tuple[Literal[2], str, str, msgspec.Raw]
)


def parse_typed(text: str, readers: Readers, *, limit_bytes: int) -> TypedCall | None:
    """A CALL of few kinds for a third of what `parse` and the schema cost. None: nothing is known of it, `parse` it."""
    if len(text) * 4 > limit_bytes or "\\" in text:  # no text is longer in UTF-8
        return None
    try:
        _, message_id, action, payload = _HEAD.decode(text)
        if len(message_id) <= MAX_ID_LENGTH:
            return TypedCall(message_id, action, readers[action].decode(payload))
    except (msgspec.MsgspecError, KeyError, RecursionError):
        pass
    return None


def parse(raw: str | bytes, dialect: Dialect, *, limit_bytes: int) -> Frame:
    """Whatever arrived, as one of the frame classes."""
    data = raw.encode("utf-8", "replace") if isinstance(raw, str) else raw
    if len(data) > limit_bytes:
        return _unreadable(data, dialect, dialect.formation, f"Frame is larger than {limit_bytes} bytes")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and not is_shallow(data):
        return _unreadable(data, dialect, dialect.formation, f"Nested deeper than {MAX_DEPTH} levels")
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _unreadable(data, dialect, dialect.framework, f"Not JSON: {error}")
    if _BACKSLASH in data and b"\\u0000" in data:
        message = without_nul(message)
    if type(message) is list and len(message) == 4 and message[0] == CALL:  # nearly always, so without a detour
        _, message_id, action, payload = message
        is_plain = type(message_id) is str and type(action) is str and type(payload) is dict
        if is_plain and len(message_id) <= MAX_ID_LENGTH:
            return Call(message_id, action, payload)
    return _frame(message, dialect)


def _frame(message: Any, dialect: Dialect) -> Frame:
    if not isinstance(message, list) or len(message) < 3:
        return Malformed(_id_of(message) or dialect.anonymous_id, dialect.framework, "Expected a list of elements")
    kind, message_id = message[0], message[1]
    if isinstance(message_id, bool) or not isinstance(message_id, str | int):
        return Malformed(dialect.anonymous_id, dialect.framework, "The message id must be a string")
    if kind == CALL:
        return _call(message, message_id, dialect)
    if kind == RESULT:
        return Result(message_id, message[2])
    if kind == ERROR:
        return CallError(message_id, *_refusal(message))
    if dialect.sends and kind == RESULT_ERROR:
        return ResultError(message_id, *_refusal(message))
    if dialect.sends and kind == SEND:
        sent = _call(message, message_id, dialect)
        if isinstance(sent, Malformed):  # not even that is answered
            return Malformed(None, sent.code, sent.description)
        return Send(sent.message_id, sent.action, sent.payload)
    return Malformed(message_id if dialect.unknown_type else None, dialect.unknown_type or "", "Unknown message type")


def _refusal(message: list[Any]) -> tuple[str, str, Any]:
    texts = [str(part)[:255] for part in message[2:4]] + [""]
    return texts[0], texts[1], message[4] if len(message) > 4 else {}


def _call(message: list[Any], message_id: MessageId, dialect: Dialect) -> Call | Malformed:
    if isinstance(message_id, str) and len(message_id) > MAX_ID_LENGTH:
        echoed = message_id if len(message_id) <= MAX_ECHO else dialect.anonymous_id
        return Malformed(echoed, dialect.framework, f"Message id is longer than {MAX_ID_LENGTH}")
    if len(message) != 4:
        return Malformed(message_id, dialect.framework, f"A CALL has 4 elements, this has {len(message)}")
    action, payload = message[2], message[3]
    if not isinstance(action, str):
        return Malformed(message_id, dialect.framework, "The action must be a string")
    if not isinstance(payload, dict):
        return Malformed(message_id, dialect.formation, "The payload must be an object")
    return Call(message_id, action, payload)


def is_shallow(data: bytes) -> bool:
    """At most MAX_DEPTH levels of brackets outside strings; linear time, no recursion."""
    brackets = _STRING.sub(b"", data).translate(_STEPS, _NOT_BRACKETS)
    steps = numpy.frombuffer(brackets, dtype=numpy.int8)
    return not len(steps) or int(steps.cumsum(dtype=numpy.int32).max()) <= MAX_DEPTH


def without_nul(value: Any) -> Any:
    """The same JSON value without U+0000, which PostgreSQL stores in no text; depth is bounded by the guard."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    return value


def _id_of(message: Any) -> MessageId | None:
    if isinstance(message, list) and len(message) > 1 and message[0] == CALL and isinstance(message[1], str):
        return message[1][:MAX_ID_LENGTH]
    return None


def _unreadable(data: bytes, dialect: Dialect, code: str, description: str) -> Malformed:
    """The id is in the first bytes of every frame; with it we can answer what we cannot read."""
    match = _ID_IN_HEAD.match(data[:300].decode("utf-8", "replace"))
    try:
        message_id = orjson.loads(match[1]) if match else dialect.anonymous_id
    except orjson.JSONDecodeError:
        message_id = dialect.anonymous_id
    return Malformed(message_id, code, description[:255])


def head_of(frame: Frame | TypedCall) -> Head:
    """Of a frame that arrived; the action of an answer is known to who asked."""
    if type(frame) is Call or type(frame) is TypedCall:
        return CALL, frame.message_id, frame.action, "", None
    if isinstance(frame, Send):
        return SEND, frame.message_id, frame.action, "", None
    if isinstance(frame, Result):
        return RESULT, frame.message_id, "", "", None
    if isinstance(frame, CallError):
        kind = RESULT_ERROR if isinstance(frame, ResultError) else ERROR
        return kind, frame.message_id, "", frame.code, None
    return 0, frame.message_id or "", "", "", None


def encode_call(message_id: str, action: str, payload: object) -> str:
    return orjson.dumps([CALL, message_id, action, payload]).decode()


def encode_result(message_id: MessageId, payload: object) -> str:
    return orjson.dumps([RESULT, message_id, payload]).decode()


def encode_error(message_id: MessageId, code: str, description: str = "", details: object = None) -> str:
    return orjson.dumps([ERROR, message_id, code, description[:255], details or {}]).decode()
