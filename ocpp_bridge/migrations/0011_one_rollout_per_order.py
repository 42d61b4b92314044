from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ocpp_bridge", "0010_lists_that_are_not_used"),
    ]

    operations = [
        migrations.AddField(
            model_name="configurationrollout",
            name="order_key",
            field=models.CharField(blank=True, default="", help_text="The same order is one roll-out.", max_length=80),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="configurationrollout",
            constraint=models.UniqueConstraint(
                models.F("organisation"),
                models.F("order_key"),
                condition=models.Q(("order_key", ""), _negated=True),
                name="one_rollout_per_order",
            ),
        ),
    ]
