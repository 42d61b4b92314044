"""Our bank statement as a CSV: credits by UTR, each once; read by a mapping of columns, stored and matched in sets."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import connection, transaction

from billing.payments import settlements

COLUMNS = {"date": "date", "reference": "reference", "amount": "amount", "text": "text"}
ISO = "%Y-%m-%d"
MOST_PROBLEMS = 200
MOST_PAISE = 10**15

_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS bank_stage (line int, booked_on date, paise bigint, reference text, words text)
ON COMMIT DROP; TRUNCATE bank_stage
"""
# takes them out; the first to be shown, and with each how many there are
_ODD = """
WITH odd AS (
    SELECT s.line, b.id IS NOT NULL AS is_known FROM bank_stage s
    LEFT JOIN billing_bankline b ON b.reference = s.reference AND b.amount_paise <> s.paise
    LEFT JOIN (SELECT reference, min(line) AS first FROM bank_stage GROUP BY reference
               HAVING min(paise) <> max(paise)) t ON t.reference = s.reference AND s.line > t.first
    WHERE b.id IS NOT NULL OR t.reference IS NOT NULL
), out AS (
    DELETE FROM bank_stage s USING odd o WHERE s.line = o.line RETURNING s.line, s.reference, o.is_known
)
SELECT line, reference, is_known, count(*) OVER () FROM out ORDER BY line LIMIT %s
"""
_KEEP = """
INSERT INTO billing_bankline (reference, amount_paise, booked_on, text, imported_at)
SELECT DISTINCT ON (s.reference) s.reference, s.paise, s.booked_on, s.words, %s FROM bank_stage s
ORDER BY s.reference, s.line
ON CONFLICT (reference) DO NOTHING
"""


class UnreadableStatement(ValueError):
    """Says which line, and why; nothing of the file was taken."""


@dataclass
class Taken:
    """How many lines there were, are new and cannot be used; of these the first, with what is wrong."""

    lines: int = 0
    new: int = 0
    unusable: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


def import_csv(lines: Iterable[str], *, now: datetime) -> int:
    """`date,reference,amount[,text]`, the date as 2026-11-30, the amount in rupees; returns how many are new.

    A line that is there already is passed over, one with another amount is refused, as the whole file then is.
    """
    with transaction.atomic():
        taken = take(lines, now=now)
        if taken.problems:
            number, problem = taken.problems[0]
            raise UnreadableStatement(f"line {number}: {problem}")
    return taken.new


@transaction.atomic
def take(
    lines: Iterable[str], *, now: datetime, columns: Mapping[str, str] = COLUMNS, date_format: str = ISO,
    is_dry_run: bool = False,
) -> Taken:  # fmt: skip
    """What is usable of the file, and a problem for every other line. A dry run leaves nothing behind.

    Raises UnreadableStatement when a column is missing.
    """
    taken = Taken()
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy("COPY bank_stage FROM STDIN") as copy:
            copy.set_types(["int4", "date", "int8", "text", "text"])
            for row in _rows(lines, columns, date_format, taken):
                copy.write_row(row)
        cursor.execute("ANALYZE bank_stage")
        cursor.execute(_ODD, [MOST_PROBLEMS])
        _tell_odd(taken, cursor.fetchall())
        cursor.execute(_KEEP, [now])
        taken.new = cursor.rowcount
        settlements.match_bank(now=now)
    if is_dry_run:
        transaction.set_rollback(True)
    return taken


def _tell_odd(taken: Taken, odd: Sequence[tuple[int, str, bool, int]]) -> None:
    taken.unusable += odd[0][3] if odd else 0
    told = [(number, f"{reference} {_words(is_known)}") for number, reference, is_known, _ in odd]
    taken.problems = sorted([*taken.problems, *told])[:MOST_PROBLEMS]


def _words(is_known: bool) -> str:
    return "was imported with another amount" if is_known else "is there twice, with two amounts"


def _rows(
    lines: Iterable[str], columns: Mapping[str, str], date_format: str, taken: Taken
) -> Iterable[tuple[int, date, int, str, str]]:
    table = csv.reader(lines)
    headings = [name.strip() for name in next(table, [])]
    if missing := [columns[name] for name in ("date", "reference", "amount") if columns[name] not in headings]:
        raise UnreadableStatement(f"line 1: no column {', '.join(missing)}")
    places = [headings.index(columns[name]) for name in ("date", "reference", "amount")]
    words = headings.index(columns["text"]) if columns.get("text") in headings else None
    at, of, much = places
    for number, row in enumerate(table, start=2):
        if not any(row):
            continue
        taken.lines += 1
        try:
            reference = row[of].strip()
            if not reference or len(reference) > 60 or "\0" in reference:
                raise ValueError("no reference (UTR)")
            text = row[words][:200].replace("\0", "") if words is not None and words < len(row) else ""
            yield number, _day(row[at].strip(), date_format), _paise(row[much]), reference, text
        except (ValueError, IndexError) as error:
            taken.unusable += 1
            if len(taken.problems) < MOST_PROBLEMS:
                taken.problems.append((number, str(error)))


def _day(text: str, date_format: str) -> date:
    return date.fromisoformat(text) if date_format == ISO else datetime.strptime(text, date_format).date()


def _paise(text: str) -> int:
    """`1,234.5` rupees to the paisa; finer than that is a mistake of the file."""
    whole, _, cents = text.replace(",", "").strip().partition(".")
    sign = -1 if whole.startswith("-") else 1
    if not (whole.lstrip("+-") + cents).isdecimal() or len(cents.rstrip("0")) > 2:
        raise ValueError(f"amount: {text.strip() or 'none'}")
    paise = sign * (abs(int(whole.lstrip("+-") or 0)) * 100 + int(cents.rstrip("0").ljust(2, "0") or 0))
    if abs(paise) > MOST_PAISE:
        raise ValueError(f"amount: {text.strip()}")
    return paise
