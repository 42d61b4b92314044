"""A vehicle and a driver are on one shift at a time: the database says so, whoever writes."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations

import vehicles.models

# What was written past the rule: of two shifts with one start the newer row counts, others end where the next begins.
MEND = """
DELETE FROM vehicles_shift a USING vehicles_shift b
WHERE (a.vehicle_id = b.vehicle_id OR a.driver_id = b.driver_id) AND a.starts_at = b.starts_at AND a.id < b.id;
UPDATE vehicles_shift a SET ends_at = later.starts_at FROM (
    SELECT a.id, min(b.starts_at) AS starts_at FROM vehicles_shift a
    JOIN vehicles_shift b ON (a.vehicle_id = b.vehicle_id OR a.driver_id = b.driver_id)
        AND b.starts_at > a.starts_at AND b.starts_at < a.ends_at
    GROUP BY a.id
) later WHERE a.id = later.id;
"""


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0004_soc_crossings")]
    operations = [
        BtreeGistExtension(),
        migrations.RunSQL(MEND, migrations.RunSQL.noop, elidable=True),
        *[
            migrations.AddConstraint(
                model_name="shift",
                constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                    name=f"one_shift_at_a_time_per_{name}",
                    expressions=[
                        (
                            vehicles.models.TsTzRange(
                                "starts_at", "ends_at", django.contrib.postgres.fields.ranges.RangeBoundary()
                            ),
                            "&&",
                        ),
                        (name, "="),
                    ],
                    violation_error_message=f"This {name} is on another shift then.",
                ),
            )
            for name in ("vehicle", "driver")
        ],
    ]
