"""No more is given back than there was, by whatever way; no document is dated into a closed month; refunds once."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

CREATE = """
CREATE OR REPLACE FUNCTION billing_guard_new_document() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    original billing_taxdocument%ROWTYPE;
    taxable bigint;
    total bigint;
BEGIN
    NEW.created_xid := pg_current_xact_id();
    IF EXISTS (SELECT 1 FROM billing_accountingmonth WHERE closed_at IS NOT NULL
               AND (id = NEW.month_id OR NEW.month_id IS NULL AND starts_on = date_trunc('month', NEW.dated_on))) THEN
        RAISE EXCEPTION 'document %: its month is closed', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.kind = 'credit_note' AND NEW.original_id IS NOT NULL THEN
        SELECT * INTO original FROM billing_taxdocument WHERE id = NEW.original_id FOR NO KEY UPDATE;
        SELECT COALESCE(sum(CASE kind WHEN 'debit_note' THEN taxable_paise ELSE -taxable_paise END), 0),
               COALESCE(sum(CASE kind WHEN 'debit_note' THEN total_paise ELSE -total_paise END), 0)
          INTO taxable, total FROM billing_taxdocument
         WHERE original_id = NEW.original_id AND kind IN ('credit_note', 'debit_note');
        IF NEW.taxable_paise > original.taxable_paise + taxable OR NEW.total_paise > original.total_paise + total THEN
            RAISE EXCEPTION 'document %: more than is left of %', NEW.number, original.number
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION billing_check_advance_use() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    over text;
BEGIN
    PERFORM 1 FROM billing_taxdocument WHERE id IN (SELECT voucher_id FROM fresh) ORDER BY id FOR NO KEY UPDATE;
    SELECT d.number INTO over FROM billing_taxdocument d JOIN billing_advanceuse u ON u.voucher_id = d.id
     WHERE d.id IN (SELECT voucher_id FROM fresh)
     GROUP BY d.id HAVING sum(u.amount_paise) > d.total_paise OR sum(u.cgst_paise) > d.cgst_paise
        OR sum(u.igst_paise) > d.igst_paise LIMIT 1;
    IF over IS NOT NULL THEN
        RAISE EXCEPTION 'advance %: more is used than came', over USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER an_advance_is_used_once AFTER INSERT ON billing_advanceuse REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_check_advance_use();
"""
DROP = """
DROP TRIGGER an_advance_is_used_once ON billing_advanceuse;
DROP FUNCTION billing_check_advance_use();
CREATE OR REPLACE FUNCTION billing_guard_new_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_xid := pg_current_xact_id();
    IF EXISTS (SELECT 1 FROM billing_accountingmonth WHERE id = NEW.month_id AND closed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'document %: its month is closed', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies: list[Any] = [("accounts", "0001_initial"), ("billing", "0046_one_way_to_approve")]
    operations = [
        migrations.CreateModel(
            name="AdvanceReturn",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="The refund or dispute.", max_length=80, unique=True)),
                ("amount_paise", models.BigIntegerField()),
                ("vouchers_paise", models.BigIntegerField(default=0)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organisation"
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.gatewaypayment"
                    ),
                ),
            ],
            options={"ordering": ["pk"]},
        ),
        migrations.AddConstraint(
            model_name="advancereturn",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_paise__gt", 0),
                    ("vouchers_paise__gte", 0),
                    ("vouchers_paise__lte", models.F("amount_paise")),
                ),
                name="no_more_vouchers_than_went_back",
            ),
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
