"""When a vehicle came to its next stop, and stops that only people tick off."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0026_figures_that_can_be_divided_by")]
    operations = [
        migrations.AddField(
            "stop", "reached_at", models.DateTimeField(blank=True, editable=False, null=True)
        ),
        migrations.AddField(
            "stop",
            "is_kept_open",
            models.BooleanField(
                default=False,
                db_default=False,
                editable=False,
                help_text="Taken back by a person: only people tick it off.",
            ),
        ),
    ]
