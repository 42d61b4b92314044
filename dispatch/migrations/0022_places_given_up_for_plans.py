import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0021_one_place_per_vehicle"),
    ]

    operations = [
        migrations.AddField(
            model_name="reservation",
            name="given_up_for",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="gave_up",
                to="dispatch.chargeplan",
            ),
        ),
    ]
