"""A ping row without padding: the widest columns first, the receipt as a distance from the fix, an int for the odometer.

Pings that are there are copied, day by day, in this transaction: it takes as much room again as the largest ping table
needs, and senders are answered 503 meanwhile, which loses nothing.
"""

from django.db import migrations, models

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
    vehicle_id, fix_at, fix_at + make_interval(secs => delay_cs / 100.0), latitude_e7, longitude_e7, odometer_m,
    speed_dkmh, heading_deg, accuracy_m, soc_permille, flags
"""
REBUILD = """
ALTER TABLE vehicles_position RENAME TO vehicles_position_before;
ALTER INDEX vehicles_position_pkey RENAME TO vehicles_position_before_pkey;
CREATE TABLE vehicles_position ({columns}) PARTITION BY RANGE (fix_at);
DO $$
DECLARE
    child record;
BEGIN
    FOR child IN SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'vehicles_position_before'::regclass ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', child.name, child.name || '_before');
        EXECUTE format('ALTER INDEX %I RENAME TO %I', child.name || '_pkey', child.name || '_before_pkey');
        EXECUTE format('CREATE TABLE %I PARTITION OF vehicles_position %s', child.name, child.bound);
        EXECUTE format('INSERT INTO %I SELECT {values} FROM %I', child.name, child.name || '_before');
    END LOOP;
END $$;
DROP TABLE vehicles_position_before;
"""
NARROW = REBUILD.format(columns=COLUMNS, values=NARROWED)
WIDEN = REBUILD.format(columns=WIDE_COLUMNS, values=WIDENED)


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0030_own_charge_limits")]
    operations = [
        migrations.RunSQL(NARROW, WIDEN),
        # of an unmanaged model: the state alone
        migrations.RemoveField("position", "received_at"),
        migrations.AddField("position", "delay_cs", models.IntegerField(default=0, help_text="0.01 s, from the fix to the receipt.")),
        migrations.AlterField("position", "odometer_m", models.IntegerField(null=True)),
    ]
