"""Serial numbers of tax documents and the financial year they count in. Pure.

CGST Rules, rule 46(b): consecutive, at most 16 characters of letters, digits, hyphen and slash, unique for a year.
"""

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

INDIA = ZoneInfo("Asia/Kolkata")
SHAPE = re.compile(r"[A-Z1-9][A-Z0-9/-]{0,15}")
MONTH_OF_A_NEW_YEAR = 4


class NumberTooLong(ValueError):
    """The series has no room for another number of at most 16 characters."""


def day_in_india(at: datetime) -> date:
    """The law's day: the last second of 31 March in India is still the old year, whatever UTC says."""
    return at.astimezone(INDIA).date()


def financial_year(day: date) -> str:
    """`2026-27` for every day from 1 April 2026 to 31 March 2027."""
    first = day.year if day.month >= MONTH_OF_A_NEW_YEAR else day.year - 1
    return f"{first}-{(first + 1) % 100:02}"


def first_day(year: str) -> date:
    return date(int(year[:4]), MONTH_OF_A_NEW_YEAR, 1)


def document_number(prefix: str, year: str, number: int) -> str:
    """`FC/26-27/0000123`."""
    text = f"{prefix}/{year[2:]}/{number:07}"
    if not SHAPE.fullmatch(text):
        raise NumberTooLong(f"{text} is no serial number of at most 16 characters.")
    return text
