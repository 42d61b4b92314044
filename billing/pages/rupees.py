"""Rupees as people type them, to paise."""

import re

from django.utils.translation import gettext as _

_TYPED = re.compile(r"(\d{1,12})(?:\.(\d{1,2}))?")


class NotAnAmount(ValueError):
    """With a sentence for the person."""


def read(text: str) -> int:
    """`₹1,50,000.5` -> `15000050`. Raises NotAnAmount."""
    bare = text.strip().removeprefix("₹").replace(",", "").replace(" ", "").replace("\u00a0", "")
    match = _TYPED.fullmatch(bare)
    if match is None or not bare.isascii():
        raise NotAnAmount(_("Please write an amount in rupees, such as 25,000."))
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def write(paise: int | None) -> str:
    """For a field: no sign, no decimals that say nothing."""
    if paise is None:
        return ""
    rupees, rest = divmod(paise, 100)
    return f"{rupees}.{rest:02d}" if rest else str(rupees)
