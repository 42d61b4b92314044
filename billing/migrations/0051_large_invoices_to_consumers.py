"""Above which value a consumer's invoice from another state stands by itself in GSTR-1 (table 5)."""

from datetime import date

from django.db import migrations, models

RULES = [
    ("250000", date(2017, 7, 1), date(2024, 7, 31), "CGST Rules, rule 59(4)(a)(ii)"),
    ("100000", date(2024, 8, 1), None, "Notification 12/2024, Central Tax"),
]


def seed(apps, schema_editor):
    rule = apps.get_model("billing", "TaxRule")
    for value, since, until, source in RULES:
        fields = {"value": value, "valid_to": until, "source": source}
        rule.objects.get_or_create(name="b2c_large", subject="", valid_from=since, defaults=fields)


class Migration(migrations.Migration):
    dependencies = [("billing", "0050_transfers_by_recording")]
    operations = [
        migrations.AlterField(
            model_name="taxrule",
            name="name",
            field=models.CharField(
                choices=[
                    ("rate", "Rate of a SAC, percent"),
                    ("sac", "SAC of a service"),
                    ("advance_tax", "Advances are taxed and get a receipt voucher (1 or 0)"),
                    ("max_items", "Most items on an e-invoice"),
                    ("irn_days", "Days until an e-invoice must be reported"),
                    ("irn_cancel_hours", "Hours in which an IRN can be cancelled"),
                    ("note_until", "Last day for a credit note, MM-DD after the year of the invoice"),
                    ("b2c_large", "Rupees above which a consumer's invoice from another state is returned by itself"),
                ],
                max_length=20,
            ),
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
