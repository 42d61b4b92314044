"""E-invoices that ended before there was a queue for them are put into it."""

from django.db import migrations, models

QUEUE = """
INSERT INTO billing_billingexception
    (kind, reference, title, details, amount_paise, opened_at, resolution)
SELECT 'e_invoice', 'e-invoice:' || d.id, left(d.number || ' has no IRN: ' || e.last_error, 160),
    jsonb_build_object('document', d.id), d.total_paise, now(), ''
FROM billing_einvoice e JOIN billing_taxdocument d ON d.id = e.document_id WHERE e.state IN ('failed', 'too_late')
"""
KINDS = [
    ("missing_tariff", "No tariff"), ("odd_meter", "Meter does not add up"),
    ("suspicious_session", "Evidence disagrees"), ("over_capture", "Wallet too low, booked as receivable"),
    ("unknown_token", "Charged with an unknown token"), ("refused", "Charged although refused"),
    ("offline", "Charged offline although not allowed"), ("no_wallet", "No wallet"),
    ("orphan_stop", "Stop without a start"), ("conflicting_stop", "Two different stops"),
    ("never_ended", "Session without an end"), ("missing_start", "Session without a start"),
    ("books_differ", "The books do not add up"), ("not_adjusted", "Late correction could not be booked"),
    ("cpo_price", "Network asks another price"), ("cpo_correction", "Network corrected its record"),
    ("cpo_balance", "Network asks for an earlier balance"), ("payment_odd", "Payment that does not fit"),
    ("payment_dispute", "A payer's bank disputes a payment"), ("mandate_failed", "Mandate does not pay"),
    ("top_up_short", "Automatic top-up cannot keep up"), ("refund_failed", "Refund failed"),
    ("cpo_record", "Network's record in doubt"), ("cpo_bill", "Network's bill differs"),
    ("limit_reached", "A spending limit is reached"), ("job_dead", "Background work was given up"),
    ("utility_loss", "Depot loses more electricity than it may"), ("e_invoice", "E-invoice not registered"),
]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("billing", "0053_money_in_suspense")]

    operations = [
        migrations.AlterField("billingexception", "kind", models.CharField(choices=KINDS, max_length=20)),
        migrations.RunSQL(QUEUE, migrations.RunSQL.noop),
    ]
