"""A ping row without padding: the widest columns first, the receipt as a distance from the fix, an int for the odometer.

Pings that are there are copied a day at a time, the newest first, each day in a transaction of its own, and its old
table goes with it: there is room needed for one day alone. Stopped anywhere, it goes on where it was when it is started
again. From the first moment on new pings find the new table; of the days that are not copied yet nothing is read.
"""

from collections.abc import Iterator
from typing import Any

from django.db import migrations, models, transaction

COLUMNS = """
    fix_at       timestamptz NOT NULL,
    vehicle_id   integer     NOT NULL,
    latitude_e7  integer     NOT NULL,
    longitude_e7 integer     NOT NULL,
    odometer_m   integer,
    delay_cs     integer     NOT NULL,
    speed_dkmh   smallint,
    heading_deg  smallint,
    accuracy_m   smallint,
    soc_permille smallint,
    flags        smallint    NOT NULL DEFAULT 0,
    PRIMARY KEY (vehicle_id, fix_at)
"""
WIDE_COLUMNS = """
    vehicle_id   integer     NOT NULL,
    fix_at       timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    latitude_e7  integer     NOT NULL,
    longitude_e7 integer     NOT NULL,
    odometer_m   bigint,
    speed_dkmh   smallint,
    heading_deg  smallint,
    accuracy_m   smallint,
    soc_permille smallint,
    flags        smallint    NOT NULL DEFAULT 0,
    PRIMARY KEY (vehicle_id, fix_at)
"""
# An odometer beyond the int is no vehicle's.
NARROWED = """
    fix_at, vehicle_id, latitude_e7, longitude_e7,
    CASE WHEN odometer_m BETWEEN 0 AND 2147483647 THEN odometer_m::int END,
    greatest(-2147483647, least(2147483647, floor(extract(epoch FROM received_at - fix_at) * 100)))::int,
    speed_dkmh, heading_deg, accuracy_m, soc_permille, flags
"""
WIDENED = """
    fix_at, vehicle_id, latitude_e7, longitude_e7, odometer_m, fix_at + make_interval(secs => delay_cs / 100.0),
    speed_dkmh, heading_deg, accuracy_m, soc_permille, flags
"""
BEFORE = "vehicles_position_before"
PARTITIONS = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%s) ORDER BY c.relname DESC
"""


def rebuild(schema_editor: Any, columns: str, values: str) -> None:
    """Copy the table, day by day, into one of these columns."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if not _exists(cursor, BEFORE):
            with transaction.atomic(using=connection.alias):
                _begin(cursor, columns)
        for name, _ in _partitions(cursor, BEFORE):
            with transaction.atomic(using=connection.alias):
                _copy(cursor, name, values)
        cursor.execute(f"DROP TABLE {BEFORE}")


def _begin(cursor: Any, columns: str) -> None:
    """The same days, empty; the old ones step aside."""
    bounds = list(_partitions(cursor, "vehicles_position"))
    cursor.execute(f"ALTER TABLE vehicles_position RENAME TO {BEFORE}")
    cursor.execute(f"ALTER INDEX vehicles_position_pkey RENAME TO {BEFORE}_pkey")
    cursor.execute(f"CREATE TABLE vehicles_position ({columns}) PARTITION BY RANGE (fix_at)")
    for name, bound in bounds:
        cursor.execute(f'ALTER TABLE "{name}" RENAME TO "{name}_before"')
        cursor.execute(f'ALTER INDEX "{name}_pkey" RENAME TO "{name}_before_pkey"')
        cursor.execute(f'CREATE TABLE "{name}" PARTITION OF vehicles_position {bound}')


def _copy(cursor: Any, name: str, values: str) -> None:
    """Through the parent: a straggler's day may have a table of its own by now. A ping that came meanwhile is newer."""
    names = "fix_at, vehicle_id, latitude_e7, longitude_e7, odometer_m, {receipt}, speed_dkmh, heading_deg, accuracy_m,"
    names = names.format(receipt="delay_cs" if values == NARROWED else "received_at") + " soc_permille, flags"
    cursor.execute(
        f'INSERT INTO vehicles_position ({names}) SELECT {values} FROM "{name}" ON CONFLICT (vehicle_id, fix_at) DO NOTHING'
    )
    cursor.execute(f'DROP TABLE "{name}"')


def _partitions(cursor: Any, table: str) -> Iterator[tuple[str, str]]:
    cursor.execute(PARTITIONS, [table])
    yield from cursor.fetchall()


def _exists(cursor: Any, table: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
    return bool(cursor.fetchone()[0])


def narrow(apps: Any, schema_editor: Any) -> None:
    rebuild(schema_editor, COLUMNS, NARROWED)


def widen(apps: Any, schema_editor: Any) -> None:
    rebuild(schema_editor, WIDE_COLUMNS, WIDENED)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("vehicles", "0030_own_charge_limits")]
    operations = [
        migrations.RunPython(narrow, widen),
        # of an unmanaged model: the state alone
        migrations.RemoveField("position", "received_at"),
        migrations.AddField("position", "delay_cs", models.IntegerField(default=0, help_text="0.01 s, from the fix to the receipt.")),
        migrations.AlterField("position", "odometer_m", models.IntegerField(null=True)),
    ]
