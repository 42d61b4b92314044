"""Whom nobody has been told of yet; plans are made and closed while the index is built."""

from django.db import migrations, models

from fleetcharge.lib.indexes import AddIndexResumably


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("dispatch", "0034_arrivals_at_their_stop"),
    ]

    operations = [
        AddIndexResumably(
            model_name="chargeplan",
            index=models.Index(
                condition=models.Q(("arrived_at", None), ("connector__isnull", False), ("state", "expired")),
                fields=["closed_at"],
                name="plans_nobody_came_for",
            ),
        ),
    ]
