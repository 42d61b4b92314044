"""How an order moves on: pure, and only ever forward, whatever order the messages come in."""

SELECTING, QUOTED, INITIALISED, CONFIRMED, CHARGING = "selecting", "quoted", "initialised", "confirmed", "charging"
COMPLETED, CANCELLED, REJECTED, FAILED = "completed", "cancelled", "rejected", "failed"

RANK = {SELECTING: 0, QUOTED: 1, INITIALISED: 2, CONFIRMED: 3, CHARGING: 4, COMPLETED: 5}
OVER = frozenset({COMPLETED, CANCELLED, REJECTED})
"""FAILED is not over: a BPP that answers after we gave up is still heard."""
OPEN = frozenset({SELECTING, QUOTED, INITIALISED, CONFIRMED, CHARGING})

_OF_CALLBACK = {"on_select": QUOTED, "on_init": INITIALISED, "on_confirm": CONFIRMED}
_OF_ORDER = {
    "CONFIRMED": CONFIRMED, "INPROGRESS": CHARGING, "COMPLETED": COMPLETED, "CANCELLED": CANCELLED,
    "REJECTED": REJECTED,
}  # fmt: skip
_OF_SESSION = {"ACTIVE": CHARGING, "INTERRUPTED": CHARGING, "COMPLETED": COMPLETED}


def meant_by(action: str, order_status: str, session_status: str) -> str:
    """The state a callback speaks of; '' when it speaks of none."""
    if action == "on_cancel" and order_status in {"", "CANCELLED"}:
        return CANCELLED
    if order_status in {"CANCELLED", "REJECTED"}:
        return _OF_ORDER[order_status]
    named = [_OF_CALLBACK.get(action, ""), _OF_ORDER.get(order_status, ""), _OF_SESSION.get(session_status, "")]
    return max(filter(None, named), key=RANK.__getitem__, default="")


def advance(state: str, meant: str) -> str:
    """The new state: forward, or to an end; what is over stays over, and what we gave up may yet come true."""
    if not meant or state in OVER:
        return state
    if meant in {CANCELLED, REJECTED}:
        return meant
    if state == FAILED:
        return meant
    return meant if RANK[meant] > RANK[state] else state
