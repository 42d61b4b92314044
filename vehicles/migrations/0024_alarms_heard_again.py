"""When a tracker last said an alarm; those that stand were heard when they came."""

import django.utils.timezone
from django.db import migrations, models
from django.db.models import F


def heard_when_received(apps, schema_editor):
    apps.get_model("vehicles", "TrackerAlarm").objects.update(heard_at=F("received_at"))


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0023_vehicle_clouds")]
    operations = [
        migrations.AddField(
            model_name="trackeralarm",
            name="heard_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, help_text="By our clock, when the tracker last said so."
            ),
        ),
        migrations.RunPython(heard_when_received, migrations.RunPython.noop),
    ]
