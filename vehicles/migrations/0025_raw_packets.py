"""The last packets of vehicles whose connect page is open."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0024_alarms_heard_again")]
    operations = [
        migrations.AddField(
            model_name="vehicle",
            name="watched_until",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="RawPacket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("received_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("raw", models.TextField()),
                ("outcome", models.JSONField(default=list)),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="packets", to="vehicles.vehicle"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["vehicle", "-id"], name="packets_of_a_vehicle")],
            },
        ),
    ]
