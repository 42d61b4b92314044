"""Integer minor units and how people read them."""

from decimal import ROUND_HALF_UP, Decimal

PAISE_PER_RUPEE = 100


def round_half_up(value: Decimal) -> int:
    """The nearest integer; halves away from zero, as Indian tax law rounds."""
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def format_inr(amount_paise: int) -> str:
    """`34120850` -> `₹3,41,208.50` (Indian grouping)."""
    sign, rest = ("-", -amount_paise) if amount_paise < 0 else ("", amount_paise)
    rupees, paise = divmod(rest, PAISE_PER_RUPEE)
    return f"{sign}₹{group_indian(rupees)}.{paise:02d}"


def group_indian(number: int) -> str:
    """`1234567` -> `12,34,567`."""
    digits = str(number)
    head, tail = digits[:-3], digits[-3:]
    pairs: list[str] = []
    while head:
        pairs.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*pairs, tail])
