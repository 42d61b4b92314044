"""What differs between OCPP versions on the frame level: names, error codes, where the official schemas lie."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema_rs
import ocpp
import orjson

SCHEMAS = Path(ocpp.__file__).parent
ERROR_CODES = frozenset({
    "FormatViolation", "FormationViolation", "GenericError", "InternalError", "MessageTypeNotSupported",
    "NotImplemented", "NotSupported", "OccurenceConstraintViolation", "OccurrenceConstraintViolation",
    "PropertyConstraintViolation", "ProtocolError", "RpcFrameworkError", "SecurityError", "TypeConstraintViolation",
})  # fmt: skip
"""Of CALLERRORs, in all editions."""


@dataclass(frozen=True)
class Dialect:
    """Error codes in the spelling of the edition (OCPP-J 1.6 section 4.2.3; OCPP 2.0.1 part 4 section 4.3)."""

    subprotocol: str
    folder: str
    request_suffix: str
    formation: str
    framework: str
    occurrence: str
    unknown_type: str | None
    anonymous_id: str | None
    sends: frozenset[str] = frozenset()  # actions of SEND frames, which nobody answers (OCPP 2.1 part 4 section 4.2.6)

    @functools.cached_property
    def actions(self) -> frozenset[str]:
        """Every action the edition knows."""
        names = (path.stem for path in (SCHEMAS / self.folder / "schemas").glob("*.json"))
        if self.request_suffix:
            return self.sends | {name.removesuffix("Request") for name in names if name.endswith("Request")}
        return frozenset(name for name in names if not name.endswith("Response"))

    def request_error(self, action: str, payload: object) -> tuple[str, str] | None:
        """None when the payload of a CALL (or SEND) fits its schema, else (error code, description)."""
        return self._error(action if action in self.sends else action + self.request_suffix, payload)

    def response_error(self, action: str, payload: object) -> tuple[str, str] | None:
        """None when the payload of a CALLRESULT fits its schema, else (error code, description)."""
        return None if action in self.sends else self._error(action + "Response", payload)

    def _error(self, schema: str, payload: object) -> tuple[str, str] | None:
        validator = _validator(self.folder, schema)
        if validator.is_valid(payload):
            return None
        try:
            validator.validate(payload)  # the first flaw; to build all of them takes seconds in a big frame
        except jsonschema_rs.ValidationError as error:
            path = "/".join(map(str, error.instance_path))
            description = f"{path}: {error.message}" if path else error.message
            return self._code(type(error.kind).__name__), description[:255]
        return None

    def _code(self, kind: str) -> str:
        if kind in {"Required", "MinItems", "MaxItems", "MinProperties", "MaxProperties"}:
            return self.occurrence
        if kind == "Type":
            return "TypeConstraintViolation"
        if kind == "AdditionalProperties":
            return self.formation
        return "PropertyConstraintViolation"


@functools.cache
def _validator(folder: str, schema: str) -> jsonschema_rs.Validator:
    raw = (SCHEMAS / folder / "schemas" / f"{schema}.json").read_bytes()
    return jsonschema_rs.validator_for(orjson.loads(raw.removeprefix(b"\xef\xbb\xbf")))


V16 = Dialect(
    subprotocol="ocpp1.6",
    folder="v16",
    request_suffix="",
    formation="FormationViolation",
    framework="FormationViolation",
    occurrence="OccurenceConstraintViolation",
    unknown_type=None,
    anonymous_id=None,
)
V201 = Dialect(
    subprotocol="ocpp2.0.1",
    folder="v201",
    request_suffix="Request",
    formation="FormatViolation",
    framework="RpcFrameworkError",
    occurrence="OccurrenceConstraintViolation",
    unknown_type="MessageTypeNotSupported",
    anonymous_id="-1",
)
V21 = replace(V201, subprotocol="ocpp2.1", folder="v21", sends=frozenset({"NotifyPeriodicEventStream"}))
DIALECTS = {dialect.subprotocol: dialect for dialect in (V16, V201, V21)}
