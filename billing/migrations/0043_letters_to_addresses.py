"""Letters are addressed, to people and to others; an address hears of a fact once."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# the letters that are there: to their user's address; of two people with the same one the first letter stays
ADDRESS = """
UPDATE billing_letter l SET address = u.email FROM accounts_user u WHERE u.id = l.user_id;
DELETE FROM billing_letter l USING billing_letter earlier
WHERE (earlier.address, earlier.kind, earlier.key) = (l.address, l.kind, l.key) AND earlier.id < l.id;
"""
# before there were addresses every letter had a user
ONLY_TO_USERS = "DELETE FROM billing_letter WHERE user_id IS NULL"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("billing", "0042_limits_of_every_kind"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="letter",
            name="one_letter_per_person_and_fact",
        ),
        migrations.AddField(
            model_name="letter",
            name="address",
            field=models.EmailField(default="", max_length=254),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="letter",
            name="language",
            field=models.CharField(default="en", max_length=5),
        ),
        migrations.AlterField(
            model_name="letter",
            name="key",
            field=models.CharField(help_text="The fact; an address hears of it once.", max_length=120),
        ),
        migrations.AlterField(
            model_name="letter",
            name="kind",
            field=models.CharField(
                choices=[
                    ("wallet_low", "Wallet is low"),
                    ("mandate_failed", "Mandate does not pay"),
                    ("top_up_short", "Automatic top-up cannot keep up"),
                    ("refund_failed", "Refund failed"),
                    ("invoice_issued", "Invoice or note issued"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="letter",
            name="user",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunSQL(ADDRESS, ONLY_TO_USERS),
        migrations.AddConstraint(
            model_name="letter",
            constraint=models.UniqueConstraint(
                models.F("address"), models.F("kind"), models.F("key"), name="one_letter_per_address_and_fact"
            ),
        ),
    ]
