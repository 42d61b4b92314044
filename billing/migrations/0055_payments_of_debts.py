"""What of a top-up pays for documents that were issued before is written down: no more than came, never rewritten."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

CREATE = """
CREATE FUNCTION billing_check_debt_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    over text;
BEGIN
    SELECT t.entry_key INTO over FROM billing_ledgertransfer t
     WHERE t.id IN (SELECT transfer_id FROM fresh) AND t.amount_paise <
           (SELECT sum(p.amount_paise) FROM billing_debtpayment p WHERE p.transfer_id = t.id)
         + COALESCE((SELECT d.total_paise FROM billing_taxdocument d WHERE d.advance_id = t.id), 0) LIMIT 1;
    IF over IS NOT NULL THEN
        RAISE EXCEPTION '%: more is paid and received in advance than came', over USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER a_top_up_is_split_once AFTER INSERT ON billing_debtpayment REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_check_debt_payment();
CREATE TRIGGER debt_payments_are_append_only BEFORE UPDATE OR DELETE ON billing_debtpayment
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER debt_payments_are_never_emptied BEFORE TRUNCATE ON billing_debtpayment
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""
DROP = """
DROP TRIGGER debt_payments_are_never_emptied ON billing_debtpayment;
DROP TRIGGER debt_payments_are_append_only ON billing_debtpayment;
DROP TRIGGER a_top_up_is_split_once ON billing_debtpayment;
DROP FUNCTION billing_check_debt_payment();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0054_e_invoices_in_the_queue")]

    operations = [
        migrations.CreateModel(
            name="DebtPayment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_paise", models.BigIntegerField()),
                ("decided_at", models.DateTimeField()),
                (
                    "document",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="payments",
                        to="billing.taxdocument",
                    ),
                ),
                (
                    "transfer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="debt_payments",
                        to="billing.ledgertransfer",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("transfer"), models.F("document"), name="one_payment_per_top_up_and_document",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=Q(("amount_paise__gt", 0)), name="debt_payment_is_positive"),
                ],
            },
        ),
        migrations.RunSQL(CREATE, DROP),
    ]  # fmt: skip
