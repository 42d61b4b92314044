"""Each period of a limit keeps the calendar by which it was opened; those that are there have their fleet's of today."""

from django.db import migrations, models

OF_TODAY = """
UPDATE billing_limitusage u SET zone = o.time_zone
FROM billing_spendlimit g JOIN accounts_organisation o ON o.id = g.organisation_id WHERE g.id = u.limit_id
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0055_payments_of_debts")]

    operations = [
        migrations.AddField(
            "limitusage", "zone",
            models.CharField(db_default="", default="", max_length=40),
        ),
        migrations.RunSQL(OF_TODAY, migrations.RunSQL.noop),
    ]  # fmt: skip
