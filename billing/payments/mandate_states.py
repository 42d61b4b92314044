"""The life of a mandate as a table: which word of the gateway leads where, and what is the end."""

DRAFT, LINK_SENT, INITIATED, CONFIRMED, PAUSED = "draft", "link_sent", "initiated", "confirmed", "paused"
REJECTED, CANCELLED, EXPIRED, EXHAUSTED = "rejected", "cancelled", "expired", "exhausted"
FINAL = frozenset({REJECTED, CANCELLED, EXPIRED, EXHAUSTED})
BEFORE = frozenset({DRAFT, LINK_SENT, INITIATED})

# the gateway's `recurring_details.status`
WORDS = {
    "initiated": INITIATED, "confirmed": CONFIRMED, "activated": CONFIRMED, "resumed": CONFIRMED, "paused": PAUSED,
    "rejected": REJECTED, "cancelled": CANCELLED, "cancellation_initiated": CANCELLED, "expired": EXPIRED,
    "deactivated": CANCELLED,
}  # fmt: skip


def after(state: str, word: str) -> str:
    """The state after the gateway's word; the same when it says nothing new, or what cannot be any more."""
    to = WORDS.get(word, state)
    if state in FINAL:
        return state
    if to == INITIATED and state not in BEFORE:
        return state  # an old word
    return to
