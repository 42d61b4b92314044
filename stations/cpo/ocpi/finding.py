"""What the self-test says of one rule, and which pitfalls of OCPI no look from outside can show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`is_good` None: could not be looked at. `pitfall` is its number in the list of OCPI's 25, 0 for a plain rule."""

    rule: str
    is_good: bool | None
    detail: str = ""
    pitfall: int = 0


BY_EYE = {
    3: "tokens overlap when they are rotated: --register-as tries it, or Connect again",
    4: "the call-back while our POST is open: --register-as tries it, or Connect",
    23: "what it answers a PUT with: --register-as tries it, or our tokens after Connect",
}
"""These change something at the CPO, which a look before the contract must not do unasked."""
WITH_WRITES = {
    5: "a PATCH without last_updated is refused: --try-writes asks, of a token that nobody has",
    6: "a PATCH of something unknown is refused: --try-writes asks, of a token that nobody has",
}
