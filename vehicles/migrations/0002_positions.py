"""The ping table: one partition per UTC day, a default partition for stragglers, dedupe by primary key."""

from django.db import migrations

CREATE = """
CREATE TABLE vehicles_position (
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
) PARTITION BY RANGE (fix_at);
CREATE TABLE vehicles_position_default PARTITION OF vehicles_position DEFAULT;

CREATE FUNCTION vehicles_ensure_position_partition(on_day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := 'vehicles_position_' || to_char(on_day, 'YYYYMMDD');
    starts timestamptz := on_day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (on_day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(child) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- rows that arrived before their day had a partition move out of the default one
    EXECUTE format('CREATE TABLE %I (LIKE vehicles_position INCLUDING ALL)', child);
    EXECUTE format('WITH moved AS (DELETE FROM vehicles_position_default WHERE fix_at >= %L AND fix_at < %L RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', starts, ends, child);
    EXECUTE format('ALTER TABLE vehicles_position ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', child, starts, ends);
    RETURN true;
END $$;
SELECT vehicles_ensure_position_partition((now() AT TIME ZONE 'UTC')::date + d) FROM generate_series(-1, 7) AS d;
"""
DROP = """
DROP TABLE vehicles_position;
DROP FUNCTION vehicles_ensure_position_partition(date);
"""


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
