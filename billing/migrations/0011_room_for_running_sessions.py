"""Room on every page for the running figures of a session, which change each minute and are in no index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_when_a_wallet_became_low")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE billing_chargingsession SET (fillfactor = 70)",
            "ALTER TABLE billing_chargingsession RESET (fillfactor)",
        ),
    ]
