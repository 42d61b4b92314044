"""The database keeps payments honest: fixed amounts and owners, final outcomes; and the regulator's limits by date."""

import datetime

from django.db import migrations

CREATE = """
CREATE FUNCTION billing_guard_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'payment intent % is never deleted', OLD.key USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.key, NEW.kind, NEW.organisation_id, NEW.amount_paise, NEW.mandate_id)
       IS DISTINCT FROM (OLD.key, OLD.kind, OLD.organisation_id, OLD.amount_paise, OLD.mandate_id)
       OR (OLD.order_id IS NOT NULL AND NEW.order_id IS DISTINCT FROM OLD.order_id) THEN
        RAISE EXCEPTION 'payment intent %: what was asked for never changes', OLD.key
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'confirmed' AND NEW.state <> 'confirmed'
       OR OLD.state = 'failed' AND NEW.state NOT IN ('failed', 'confirmed') THEN
        RAISE EXCEPTION 'payment intent % is %: it never becomes %', OLD.key, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER intent_is_sound BEFORE UPDATE OR DELETE ON billing_paymentintent
    FOR EACH ROW EXECUTE FUNCTION billing_guard_intent();

CREATE FUNCTION billing_guard_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'payment % is never deleted', OLD.payment_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.payment_id, NEW.amount_paise, NEW.currency) IS DISTINCT FROM
       (OLD.payment_id, OLD.amount_paise, OLD.currency)
       OR (OLD.organisation_id IS NOT NULL AND NEW.organisation_id IS DISTINCT FROM OLD.organisation_id)
       OR (OLD.credited_at IS NOT NULL AND NEW.credited_at IS DISTINCT FROM OLD.credited_at) THEN
        RAISE EXCEPTION 'payment %: amount, owner and credit never change', OLD.payment_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_is_sound BEFORE UPDATE OR DELETE ON billing_gatewaypayment
    FOR EACH ROW EXECUTE FUNCTION billing_guard_payment();

CREATE FUNCTION billing_guard_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.key, NEW.payment_id, NEW.organisation_id, NEW.amount_paise, NEW.asked_by_id)
       IS DISTINCT FROM (OLD.key, OLD.payment_id, OLD.organisation_id, OLD.amount_paise, OLD.asked_by_id)
       OR (OLD.state IN ('confirmed', 'declined', 'failed') AND NEW.state <> OLD.state) THEN
        RAISE EXCEPTION 'refund % is %: % refused', OLD.key, OLD.state, TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refund_is_sound BEFORE UPDATE OR DELETE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_guard_refund();

CREATE TRIGGER payment_rules_are_append_only BEFORE UPDATE OR DELETE ON billing_paymentrule
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""
DROP = """
DROP TRIGGER payment_rules_are_append_only ON billing_paymentrule;
DROP TRIGGER refund_is_sound ON billing_refund;
DROP TRIGGER payment_is_sound ON billing_gatewaypayment;
DROP TRIGGER intent_is_sound ON billing_paymentintent;
DROP FUNCTION billing_guard_refund();
DROP FUNCTION billing_guard_payment();
DROP FUNCTION billing_guard_intent();
"""
FRAMEWORK = "RBI Digital Payments E-mandate Framework, 21 April 2026"
SCHEME = "Razorpay recurring payments: debit in the 25th hour after the notice, over by the 36th"
BEGINNING = datetime.date(2020, 1, 1)  # before the first booking: no debit ever finds no rule
RULES = [
    ("afa_free_paise", "upi", 15_000_00, BEGINNING, FRAMEWORK),
    ("notice_hours", "upi", 24, BEGINNING, FRAMEWORK),
    ("debit_after_hours", "upi", 25, BEGINNING, SCHEME),
    ("debit_until_hours", "upi", 36, BEGINNING, SCHEME),
    ("mandate_max_paise", "upi", 1_00_000_00, BEGINNING, "UPI AutoPay, per debit; to be confirmed with the acquirer"),
    ("notice_hours", "emandate", 24, BEGINNING, FRAMEWORK),
    ("debit_after_hours", "emandate", 25, BEGINNING, SCHEME),
    ("debit_until_hours", "emandate", 72, BEGINNING, "Bank debits are presented on working days; to be confirmed"),
    ("mandate_max_paise", "emandate", 10_00_000_00, BEGINNING, "E-mandate, per debit; to be confirmed"),
    ("notice_hours", "nach", 24, BEGINNING, FRAMEWORK),
    ("debit_after_hours", "nach", 25, BEGINNING, SCHEME),
    ("debit_until_hours", "nach", 96, BEGINNING, "NACH is presented and answered on working days; to be confirmed"),
    ("mandate_max_paise", "nach", 1_00_00_000_00, BEGINNING, "NACH, per debit; to be confirmed"),
]


def add(apps, schema_editor):
    rule = apps.get_model("billing", "PaymentRule")
    rule.objects.bulk_create(
        [
            rule(name=name, kind=kind, value=value, valid_from=day, source=source)
            for name, kind, value, day, source in RULES
        ],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0032_payments")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop), migrations.RunSQL(CREATE, DROP)]
