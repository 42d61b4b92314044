"""Stops with a window of time, and with the planner's own id to know them again by."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0031_narrow_pings")]
    operations = [
        migrations.AddField(
            "stop", "earliest_at", models.DateTimeField(blank=True, help_text="Nobody is there before.", null=True)
        ),
        migrations.AddField(
            "stop",
            "external_id",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The planner's own; a file finds it by this.",
                max_length=64,
            ),
        ),
        migrations.AddConstraint(
            "stop",
            models.UniqueConstraint(
                models.F("vehicle"),
                models.F("external_id"),
                condition=models.Q(("external_id", ""), _negated=True),
                name="one_stop_per_external_id",
            ),
        ),
    ]
