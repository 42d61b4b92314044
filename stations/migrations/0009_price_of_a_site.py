"""A site may have a price: plugs that appear there later get it by themselves."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stations", "0008_removed_connectors")]
    operations = [
        migrations.AddField(
            model_name="location",
            name="tariff",
            field=models.ForeignKey(
                blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL,
                related_name="locations", to="stations.tariff",
                help_text="Of plugs that appear here later; those present have their own.",
            ),
        ),
    ]
