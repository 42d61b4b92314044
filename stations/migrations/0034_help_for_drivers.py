"""Whom drivers call, and which app they open, where we start nothing."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stations", "0033_health"),
    ]

    operations = [
        migrations.AddField(
            model_name="source",
            name="app_url",
            field=models.URLField(
                blank=True,
                db_default="",
                default="",
                help_text="Opens the network's own app, or its page in a shop.",
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="help_phone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="For drivers in front of a plug that does not start.",
                max_length=20,
                validators=[
                    django.core.validators.RegexValidator(
                        "^\\+?[0-9][0-9 -]{2,18}$", "Digits, spaces and dashes, perhaps a + before."
                    )
                ],
            ),
        ),
    ]
