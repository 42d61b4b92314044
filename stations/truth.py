"""How far a network's word can be trusted: of plugs it showed as free, how many were free when asked for. Pure."""

FEWEST = 5
"""Below so many proofs nothing is said."""
BENEFIT_RIGHT, BENEFIT_ASKED = 4.5, 5.0
"""A network starts as one that was right 9 times in 10; evidence soon outweighs that."""

# What networks answer when a plug is taken or out of order: OCPI CommandResult, OCPP 1.6/2.x ReservationStatus.
REFUTES = frozenset({"EVSE_OCCUPIED", "EVSE_INOPERATIVE", "OCCUPIED", "FAULTED", "UNAVAILABLE", "INUSE", "40000"})


def judge(*, shown: str, state: str, reason: str) -> bool | None:
    """Did the status hold? True, False, or None when the answer says nothing about the plug (or it was not free)."""
    if shown != "available":
        return None
    if state in {"accepted", "session_seen"}:
        return True
    return False if reason.strip().split(" ", 1)[0].upper().rstrip(".,:;") in REFUTES else None


def percent(right: int, asked: int) -> int | None:
    """Smoothed share of promises kept; None while too little is known."""
    if asked < FEWEST:
        return None
    return round(100 * (right + BENEFIT_RIGHT) / (asked + BENEFIT_ASKED))
