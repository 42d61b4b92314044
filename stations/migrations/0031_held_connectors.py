"""The few plugs that are held just now, for the sweep that lets go of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stations", "0030_failed_calls")]

    operations = [
        migrations.AddIndex(
            model_name="connector",
            index=models.Index(condition=models.Q(("is_held", True)), fields=["id"], name="held_connectors"),
        ),
    ]
