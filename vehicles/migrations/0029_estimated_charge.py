"""What the charge is estimated from: the last reading, what was driven and charged since, and the vehicle's appetite."""

from django.db import migrations, models

COUNTERS = ["soc_odometer_m", "soc_gps_m", "soc_gap_m", "soc_charged_wh", "charge_session_wh"]


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0028_what_was_read")]
    operations = [
        migrations.AddField(
            "vehicle", "appetite", models.FloatField(
                db_default=1.0, default=1.0, editable=False,
                help_text="Learned from its own drives, as a multiple of the model's Wh per km.",
            )
        ),
        migrations.AddField(
            "vehicle", "appetite_variance", models.FloatField(db_default=0.04, default=0.04, editable=False)
        ),
        migrations.AddField("vehiclestate", "soc_sigma_percent", models.FloatField(blank=True, null=True)),
        migrations.AddField("vehiclestate", "soc_base_percent", models.FloatField(blank=True, null=True)),
        migrations.AddField("vehiclestate", "soc_base_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField(
            "vehiclestate", "soc_base_source", models.CharField(blank=True, db_default="", default="", max_length=10)
        ),
        migrations.AddField("vehiclestate", "soc_counted_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("vehiclestate", "soc_is_due", models.BooleanField(db_default=False, default=False)),
        *(
            migrations.AddField("vehiclestate", name, models.FloatField(db_default=0.0, default=0.0))
            for name in COUNTERS
        ),
        migrations.AddField("vehiclestate", "charge_session_id", models.BigIntegerField(blank=True, null=True)),
        migrations.AddField("vehiclestate", "charge_soc_percent", models.FloatField(blank=True, null=True)),
    ]
