"""What can become of a call to a payment gateway, told apart by the one question that matters: did it happen?"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """The gateway's own words; empty where it said nothing. `status` is HTTP's, 0 without an answer."""

    status: int = 0
    code: str = ""
    description: str = ""
    reason: str = ""
    field: str = ""
    step: str = ""
    source: str = ""
    retry_after_s: int = 0

    def __str__(self) -> str:
        words = (self.code, self.reason, self.field, self.description)
        return f"{self.status or 'no answer'}: " + ", ".join(word for word in words if word)


class GatewayFailure(Exception):
    """A call that did not bring an answer of use."""

    def __init__(self, said: Said) -> None:
        super().__init__(str(said))
        self.said = said


class Refused(GatewayFailure):
    """The gateway looked at it and said no. Nothing has happened, and asking again changes nothing."""


class NotFound(Refused):
    """The gateway knows no such object."""


class Unavailable(GatewayFailure):
    """Surely nothing has happened: it was not reached, or does not take calls now. Asking again is safe."""


class OutcomeUnknown(GatewayFailure):
    """It may have happened. Only a look at the gateway's own rows may decide; never a second call."""
