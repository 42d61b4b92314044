from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0020_idempotent_writes")]
    operations = [
        migrations.AddField(
            "organisation",
            "shows_status",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="Everybody may see how its public chargers do, at /status/.",
            ),
        ),
    ]
