"""Tables with one partition per UTC day: made ahead, dropped whole when they are old."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

DAYS_AHEAD = 7


@dataclass(frozen=True)
class DayPartitions:
    """`table` is PARTITION BY RANGE (`column`) with a default partition `<table>_default` for stragglers."""

    table: str
    column: str

    def ensure(self, *, today: date, days_ahead: int = DAYS_AHEAD) -> list[date]:
        """Make the tables of today and the days ahead; returns the days that were missing."""
        present = set(self.days())
        wanted = [today + timedelta(days=offset) for offset in range(days_ahead + 1)]
        return [day for day in wanted if day not in present and self._make(day)]

    def drop_before(self, first_kept: date) -> list[date]:
        """Drop the tables of older days, and such stragglers in the default one."""
        dropped = [day for day in self.days() if day < first_kept]
        with connection.cursor() as cursor:
            for day in dropped:
                cursor.execute(f"DROP TABLE IF EXISTS {self._child(day)}")
            older = f"DELETE FROM {self._quoted(self.table + '_default')} WHERE {self._quoted(self.column)} < %s"  # noqa: S608
            cursor.execute(older, [_start_of(first_kept)])
        return dropped

    def days(self) -> list[date]:
        """The UTC days that have a table of their own, in order."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname",
                [self.table],
            )
            suffixes = [str(name).removeprefix(f"{self.table}_") for (name,) in cursor.fetchall()]
        return [datetime.strptime(suffix, "%Y%m%d").date() for suffix in suffixes if suffix.isdigit()]

    @transaction.atomic
    def _make(self, day: date) -> bool:
        """False when another process was faster. Rows that arrived before their day had a table move into it."""
        child, parent, column = self._child(day), self._quoted(self.table), self._quoted(self.column)
        default = self._quoted(f"{self.table}_default")
        span = [_start_of(day), _start_of(day + timedelta(days=1))]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.table])
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{self.table}_{day:%Y%m%d}"])
            if cursor.fetchone()[0]:
                return False
            cursor.execute(f"CREATE TABLE {child} (LIKE {parent} INCLUDING ALL)")
            cursor.execute(
                f"WITH moved AS (DELETE FROM {default} WHERE {column} >= %s AND {column} < %s RETURNING *)"  # noqa: S608
                f" INSERT INTO {child} SELECT * FROM moved",
                span,
            )
            bounds = " TO ".join(f"('{moment.isoformat()}')" for moment in span)
            cursor.execute(f"ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM {bounds}")
        return True

    def _child(self, day: date) -> str:
        return self._quoted(f"{self.table}_{day:%Y%m%d}")

    def _quoted(self, name: str) -> str:
        return connection.ops.quote_name(name)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
