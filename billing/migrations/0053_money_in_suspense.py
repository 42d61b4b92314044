"""Each row of a settlement says what of it went through suspense, so that it can leave it once it is known."""

from django.db import migrations, models
from django.db.models import Q

# only where the rows that are unknown now are those that were unknown when the settlement was booked
SUSPENDED = """
WITH unknown AS (
    SELECT r.settlement_id, sum(CASE WHEN r.credit_paise > 0 THEN r.amount_paise ELSE -r.debit_paise END) AS paise
    FROM billing_settlementrow r WHERE r.outcome = 'unknown_to_us' GROUP BY r.settlement_id
), booked AS (
    SELECT s.id, sum(CASE c.code WHEN 'suspense' THEN t.amount_paise ELSE -t.amount_paise END) AS paise
    FROM billing_settlement s
    JOIN billing_ledgertransfer t ON t.entry_key = 'settlement:' || s.settlement_id
    JOIN billing_ledgeraccount c ON c.id = t.credit_id JOIN billing_ledgeraccount d ON d.id = t.debit_id
    WHERE 'suspense' IN (c.code, d.code) GROUP BY s.id
)
UPDATE billing_settlementrow r SET
    suspense_paise = CASE WHEN r.credit_paise > 0 THEN r.amount_paise ELSE -r.debit_paise END
FROM unknown u JOIN booked b ON b.id = u.settlement_id AND b.paise = u.paise
WHERE r.settlement_id = b.id AND r.outcome = 'unknown_to_us'
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0052_bills_in_portions")]

    operations = [
        migrations.AddField(
            "settlementrow", "suspense_paise",
            models.BigIntegerField(
                db_default=0, default=0,
                help_text="Of this row in suspense, because it was not known when it was booked.",
            ),
        ),
        migrations.RunSQL(SUSPENDED, migrations.RunSQL.noop),
        migrations.AddIndex(
            "settlementrow",
            models.Index(condition=~Q(suspense_paise=0), fields=["id"], name="rows_in_suspense"),
        ),
    ]  # fmt: skip
