"""What a fleet wants when no more can be held for a session that runs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0048_bill_uploads")]

    operations = [
        migrations.AddField(
            model_name="wallet",
            name="when_short",
            field=models.CharField(
                choices=[
                    ("stop", "Stop at what is held, and tell finance"),
                    ("allow_credit", "Charge on; the rest is owed"),
                    ("alert", "Charge on, and tell finance"),
                ],
                default="alert",
                help_text="When no more can be held for a session that runs.",
                max_length=12,
            ),
        ),
    ]
