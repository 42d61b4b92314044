"""What a peer wrote, as far as it may be kept and shown: short, in one line, without what opens doors. Pure."""

import re

LONGEST = 200
HIDDEN = "…"
_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?:[^\s/@]*@)?([^\s/?#@\"'<>]+)[^\s\"'<>]*")
_NAMED = re.compile(
    r"(?i)\b(token|bearer|secret|password|api[-_ ]?key|authorization|signature)\b([\"']?\s*[:=]\s*[\"']?)"
    r"(?:(?:token|bearer|basic|signature)\s+)?\S+"
)
_LONG = re.compile(r"(?=[\w+/=~-]*\d)(?=[\w+/=~-]*[A-Za-z])[\w+/=~-]{16,}")


def peer_words(text: object, *secrets: str) -> str:
    """Only the host of an address is left; `secrets`, what is called a token, and what looks like one go."""
    said = "".join(each if each.isprintable() else " " for each in str(text)[: LONGEST * 10])
    for secret in filter(None, secrets):
        said = said.replace(secret, HIDDEN)
    said = _ADDRESS.sub(rf"\1\2/{HIDDEN}", said)
    said = _LONG.sub(HIDDEN, _NAMED.sub(rf"\1\2{HIDDEN}", said))
    said = " ".join(said.split())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + HIDDEN
