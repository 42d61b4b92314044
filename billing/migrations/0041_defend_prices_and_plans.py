"""The database keeps what was agreed: rates, plan versions, terms, uses and fees never change; the factors of 2024."""

import datetime
from typing import Any

from django.db import migrations

CREATE = """
CREATE TRIGGER negotiated_rates_are_append_only BEFORE UPDATE OR DELETE ON billing_negotiatedrate
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER plan_versions_are_append_only BEFORE UPDATE OR DELETE ON billing_planversion
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER subscription_terms_are_append_only BEFORE UPDATE OR DELETE ON billing_subscriptionterm
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_guard_subscription_fee() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY['document_id'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free
       OR (OLD.document_id IS NOT NULL AND NEW.document_id IS DISTINCT FROM OLD.document_id) THEN
        RAISE EXCEPTION 'subscription fee % is charged: % refused', OLD.id, TG_OP
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER subscription_fee_is_final BEFORE UPDATE OR DELETE ON billing_subscriptionfee
    FOR EACH ROW EXECUTE FUNCTION billing_guard_subscription_fee();

CREATE FUNCTION billing_guard_subscription() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY['ends_before'];
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free
       OR (OLD.ends_before IS NOT NULL AND NEW.ends_before IS DISTINCT FROM OLD.ends_before) THEN
        RAISE EXCEPTION 'subscription %: % refused', OLD.id, TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER subscription_is_sound BEFORE UPDATE OR DELETE ON billing_subscription
    FOR EACH ROW EXECUTE FUNCTION billing_guard_subscription();
"""
DROP = """
DROP TRIGGER subscription_is_sound ON billing_subscription;
DROP FUNCTION billing_guard_subscription();
DROP TRIGGER subscription_fee_is_final ON billing_subscriptionfee;
DROP FUNCTION billing_guard_subscription_fee();
DROP TRIGGER subscription_terms_are_append_only ON billing_subscriptionterm;
DROP TRIGGER plan_versions_are_append_only ON billing_planversion;
DROP TRIGGER negotiated_rates_are_append_only ON billing_negotiatedrate;
"""
GUIDELINE = "Ministry of Power, Guidelines for EV charging infrastructure, 17 September 2024"
FACTS = {"solar_factor": "0.7", "other_factor": "1.3", "solar_from": "09:00", "solar_until": "16:00"}


def seed(apps: Any, schema_editor: Any) -> None:
    benchmarks = apps.get_model("billing", "PriceBenchmark")
    for name, value in FACTS.items():
        benchmarks.objects.get_or_create(
            name=name, state="", valid_from=datetime.date(2024, 9, 17), defaults={"value": value, "source": GUIDELINE}
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0040_prices_and_plans")]
    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
