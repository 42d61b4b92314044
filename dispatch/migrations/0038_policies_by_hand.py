"""Policies that people give to vehicles of their choice, beside experiments whose vehicles are drawn."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0037_demo_data")]
    operations = [
        migrations.AddField(
            model_name="policyexperiment",
            name="is_drawn",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Vehicles were drawn by the shares; else people chose them."
            ),
        ),
    ]
