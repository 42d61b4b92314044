"""Which sessions a vehicle had around another one; sessions begin while the index is built."""

from django.db import migrations, models

from fleetcharge.lib.indexes import AddIndexResumably


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("billing", "0044_quick_ledger"),
        ("stations", "0031_held_connectors"),
        ("vehicles", "0020_tokens_changed_since"),
    ]

    operations = [
        AddIndexResumably(
            model_name="chargingsession",
            index=models.Index(fields=["vehicle", "-started_at"], name="sessions_of_a_vehicle"),
        ),
    ]
