"""Devices report for a vehicle from an instant to an instant; the present ones since ever.

The database keeps the assignments itself, whoever writes `device_id`: services, the admin, a bulk update.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

import vehicles.assignments

FUNCTION = """
CREATE FUNCTION vehicles_assign_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.device_id IS NOT DISTINCT FROM NEW.device_id THEN
            RETURN NULL;
        END IF;
        UPDATE vehicles_deviceassignment SET ends_at = greatest(now(), starts_at)
        WHERE vehicle_id = NEW.id AND ends_at IS NULL;
    END IF;
    IF NEW.device_id <> '' THEN
        INSERT INTO vehicles_deviceassignment (vehicle_id, device_id, starts_at)
        SELECT NEW.id, NEW.device_id, CASE WHEN count(*) > 0 THEN greatest(now(), max(ends_at)) END
        FROM vehicles_deviceassignment WHERE device_id = NEW.device_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_is_assigned AFTER INSERT OR UPDATE OF device_id ON vehicles_vehicle
    FOR EACH ROW EXECUTE FUNCTION vehicles_assign_device();
INSERT INTO vehicles_deviceassignment (vehicle_id, device_id)
SELECT id, device_id FROM vehicles_vehicle WHERE device_id <> '';
"""
DROP = """
DROP TRIGGER device_is_assigned ON vehicles_vehicle;
DROP FUNCTION vehicles_assign_device();
"""


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0034_geofences")]
    operations = [
        migrations.CreateModel(
            name="DeviceAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("device_id", models.CharField(max_length=64)),
                ("starts_at", models.DateTimeField(blank=True, help_text="Empty: since ever.", null=True)),
                ("ends_at", models.DateTimeField(blank=True, help_text="Empty: still.", null=True)),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignments",
                        to="vehicles.vehicle",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["device_id"], name="vehicles_of_a_device")],
                "constraints": [
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        name="one_vehicle_at_a_time_per_device",
                        expressions=[
                            (
                                vehicles.assignments.DeviceSpan(
                                    "starts_at", "ends_at", django.contrib.postgres.fields.ranges.RangeBoundary()
                                ),
                                "&&",
                            ),
                            ("device_id", "="),
                        ],
                        violation_error_message="This device reports for another vehicle then.",
                    ),
                    models.UniqueConstraint(
                        F("vehicle"), condition=Q(("ends_at", None)), name="one_device_at_a_time_per_vehicle"
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            ("starts_at", None), ("ends_at", None), ("ends_at__gte", F("starts_at")), _connector="OR"
                        ),
                        name="assignment_ends_after_it_starts",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FUNCTION, DROP),
    ]
