"""Amounts in words as Indian documents have them: lakh and crore. Pure."""

ONES = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
]
TENS = ["_", "_", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"]
SCALES = ((10_000_000, "Crore"), (100_000, "Lakh"), (1_000, "Thousand"), (100, "Hundred"))


def in_words(paise: int) -> str:
    """`12345678` -> `Rupees One Lakh Twenty Three Thousand Four Hundred Fifty Six and Seventy Eight Paise Only`."""
    rupees, rest = divmod(abs(paise), 100)
    sign = "Minus " if paise < 0 else ""
    cents = f" and {_number(rest)} Paise" if rest else ""
    return f"{sign}Rupees {_number(rupees)}{cents} Only"


def _number(value: int) -> str:
    for scale, name in SCALES:
        if value >= scale:
            rest = f" {_number(value % scale)}" if value % scale else ""
            return f"{_number(value // scale)} {name}{rest}"
    if value < len(ONES):
        return ONES[value]
    return TENS[value // 10] + (f" {ONES[value % 10]}" if value % 10 else "")
