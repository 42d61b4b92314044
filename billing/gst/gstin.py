"""Is this a GSTIN? Its shape, its state, and the check digit that finds every wrong character. Pure.

15 characters: state, PAN (10), number of the registration, class (Z; C collects tax at source, D deducts it), check
digit. The check is Luhn's over 36 characters: it finds every single wrong character and every swap of neighbours
but 0 with Z.
"""

import re

from billing.gst.states import STATES

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TAXPAYER = re.compile(r"\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z][ZCD][0-9A-Z]")
VISITOR = re.compile(r"\d{4}[A-Z]{3}\d{5}(?:UN|ON|NR)[0-9A-Z]")
"""Bodies of the United Nations, other notified persons, non-residents: another shape, without a PAN."""


class InvalidGSTIN(ValueError):
    """Says what is wrong with it."""


def clean(text: str) -> str:
    """Upper case without blanks, proven; raises InvalidGSTIN. The empty text stays empty: not registered."""
    gstin = "".join(text.split()).upper()
    if not gstin:
        return ""
    if len(gstin) != 15:
        raise InvalidGSTIN(f"A GSTIN has 15 characters, this one {len(gstin)}.")
    if not gstin.isascii() or not (TAXPAYER.fullmatch(gstin) or VISITOR.fullmatch(gstin)):
        raise InvalidGSTIN("This is not the shape of a GSTIN: state, PAN, number, class, check digit.")
    if gstin[:2] not in STATES:
        raise InvalidGSTIN(f"No state has the code {gstin[:2]}.")
    if gstin[-1] != check_digit(gstin[:-1]):
        raise InvalidGSTIN("The check digit does not fit: a character is wrong.")
    return gstin


def is_valid(text: str) -> bool:
    try:
        return bool(clean(text))
    except InvalidGSTIN:
        return False


def check_digit(first_14: str) -> str:
    """Weights 1, 2, 1, 2 ... over base 36; quotient and remainder of each product are added."""
    total = 0
    for position, letter in enumerate(first_14):
        product = ALPHABET.index(letter) * (position % 2 + 1)
        total += product // 36 + product % 36
    return ALPHABET[-total % 36]


def state_of(gstin: str) -> str:
    return gstin[:2]


def pan_of(gstin: str) -> str:
    return gstin[2:12]
