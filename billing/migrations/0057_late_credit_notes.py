"""Credit notes that came after their last day wait to be confirmed, also those of before there was a question."""

from django.db import migrations, models

QUEUE = """
INSERT INTO billing_billingexception
    (kind, reference, title, details, amount_paise, opened_at, resolution)
SELECT 'late_note', 'late-note:' || n.id,
    left(n.number || ' of ' || n.dated_on || ' came after ' || last.day || ', the last day for ' || o.number, 160),
    jsonb_build_object('document', n.id, 'tax_paise', n.cgst_paise + n.sgst_paise + n.igst_paise), n.total_paise, now(),
    ''
FROM billing_taxdocument n JOIN billing_taxdocument o ON o.id = n.original_id
CROSS JOIN LATERAL (
    SELECT (left(o.financial_year, 4)::int + 1 || '-' || r.value)::date AS day FROM billing_taxrule r
    WHERE r.name = 'note_until' AND r.subject = '' AND r.valid_from <= n.dated_on
      AND (r.valid_to IS NULL OR r.valid_to >= n.dated_on) ORDER BY r.valid_from DESC LIMIT 1
) last
WHERE n.kind = 'credit_note' AND n.total_paise > 0 AND n.dated_on > last.day
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
    ("late_note", "Credit note after its last day"),
]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("billing", "0056_calendars_of_limits")]

    operations = [
        migrations.AlterField("billingexception", "kind", models.CharField(choices=KINDS, max_length=20)),
        migrations.RunSQL(QUEUE, migrations.RunSQL.noop),
    ]
