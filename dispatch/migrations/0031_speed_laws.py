import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("dispatch", "0030_engines_with_versions"),
    ]

    operations = [
        migrations.CreateModel(
            name="SpeedLaw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.PositiveSmallIntegerField(help_text="By India's clock: 8 is 08:00 to 09:00.")),
                ("circuity", models.FloatField(help_text="Metres on the road per metre as the crow flies.")),
                ("seconds_factor", models.FloatField(help_text="a of t = a · h^0.75, h in metres as the crow flies.")),
                ("trips", models.PositiveIntegerField(
                    help_text="Of this hour; the fewer, the more it is like the fleet's day.")),
                ("learned_on", models.DateField()),
                ("organisation", models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE, related_name="speed_laws", to="accounts.organisation")),
            ],
            options={
                "ordering": ["organisation", "hour"],
                "constraints": [
                    models.UniqueConstraint("organisation", "hour", name="one_speed_law_per_hour"),
                    models.CheckConstraint(condition=models.Q(("hour__lte", 23)), name="a_day_has_24_hours"),
                    models.CheckConstraint(
                        condition=models.Q(("circuity__gt", 0), ("seconds_factor__gt", 0)), name="ways_take_time"
                    ),
                ],
            },
        ),
    ]
