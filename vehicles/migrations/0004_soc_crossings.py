"""The two instants the low-charge latch is computed from; unknown devices per organisation; room for hot updates."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial"), ("vehicles", "0003_catalogue")]

    operations = [
        migrations.AddField(
            "vehiclestate",
            "soc_below_at",
            models.DateTimeField(blank=True, help_text="Newest reading below the low limit.", null=True),
        ),
        migrations.AddField(
            "vehiclestate",
            "soc_clear_at",
            models.DateTimeField(blank=True, help_text="Newest reading at or above the clear limit.", null=True),
        ),
        migrations.AlterField("unknowndevice", "device_id", models.CharField(max_length=64)),
        migrations.AddField(
            "unknowndevice",
            "organisation",
            models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+",
                to="accounts.organisation",
            ),
        ),
        migrations.AddConstraint(
            "unknowndevice",
            models.UniqueConstraint(
                fields=("device_id", "organisation"), name="one_row_per_unknown_device", nulls_distinct=False
            ),
        ),
        # every ping rewrites a state row: with room on its page the new version needs no index entry
        migrations.RunSQL(
            "ALTER TABLE vehicles_vehiclestate SET (fillfactor = 60)",
            "ALTER TABLE vehicles_vehiclestate RESET (fillfactor)",
        ),
    ]
