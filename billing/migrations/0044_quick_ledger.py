"""Indexes of the ledger's page; money is posted while they are built."""

import django.contrib.postgres.indexes
from django.db import migrations, models

from fleetcharge.lib.indexes import AddIndexResumably


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("billing", "0043_letters_to_addresses"),
        ("stations", "0031_held_connectors"),
        ("vehicles", "0020_tokens_changed_since"),
    ]

    operations = [
        AddIndexResumably(
            model_name="ledgertransfer",
            index=models.Index(fields=["organisation", "id"], name="newest_of_an_organisation"),
        ),
        AddIndexResumably(
            model_name="ledgertransfer",
            index=models.Index(fields=["kind", "id"], name="transfers_of_a_kind"),
        ),
        AddIndexResumably(
            model_name="ledgertransfer",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["occurred_at"], name="transfers_of_a_month"
            ),
        ),
    ]
