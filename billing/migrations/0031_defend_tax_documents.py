"""An issued document never changes, its lines add up to it, a closed month stays closed; and the rules of the day."""

from datetime import date

from django.db import migrations

CREATE = """
ALTER TABLE billing_taxdocument ADD COLUMN created_xid xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE TRIGGER documents_are_final BEFORE UPDATE OR DELETE ON billing_taxdocument
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER documents_are_never_emptied BEFORE TRUNCATE ON billing_taxdocument
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER document_lines_are_final BEFORE UPDATE OR DELETE ON billing_documentline
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER billed_items_are_final BEFORE UPDATE OR DELETE ON billing_billeditem
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER advance_uses_are_final BEFORE UPDATE OR DELETE ON billing_advanceuse
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_check_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM fresh JOIN billing_taxdocument d ON d.id = fresh.document_id
               WHERE d.created_xid <> pg_current_xact_id()) THEN
        RAISE EXCEPTION '%: the document is issued, nothing can be added', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER line_comes_with_its_document AFTER INSERT ON billing_documentline REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_check_part();
CREATE TRIGGER item_comes_with_its_document AFTER INSERT ON billing_billeditem REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_check_part();
CREATE TRIGGER use_comes_with_its_document AFTER INSERT ON billing_advanceuse REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION billing_check_part();

CREATE FUNCTION billing_guard_new_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_xid := pg_current_xact_id();
    IF EXISTS (SELECT 1 FROM billing_accountingmonth WHERE id = NEW.month_id AND closed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'document %: its month is closed', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER closed_months_get_no_document BEFORE INSERT ON billing_taxdocument
    FOR EACH ROW EXECUTE FUNCTION billing_guard_new_document();

-- at the end of the issuing transaction, when the lines are there
CREATE FUNCTION billing_check_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT (COALESCE(sum(taxable_paise), 0), COALESCE(sum(cgst_paise), 0), COALESCE(sum(sgst_paise), 0),
                COALESCE(sum(igst_paise), 0)) FROM billing_documentline WHERE document_id = NEW.id)
       IS DISTINCT FROM (NEW.taxable_paise::numeric, NEW.cgst_paise::numeric, NEW.sgst_paise::numeric,
                         NEW.igst_paise::numeric) THEN
        RAISE EXCEPTION 'document %: its lines do not add up to it', NEW.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER lines_add_up AFTER INSERT ON billing_taxdocument DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION billing_check_lines();

CREATE FUNCTION billing_guard_month() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'month % is closed: % refused', OLD.starts_on, TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER closed_month_is_final BEFORE UPDATE OR DELETE ON billing_accountingmonth
    FOR EACH ROW EXECUTE FUNCTION billing_guard_month();

CREATE FUNCTION billing_guard_series() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.last_number <> OLD.last_number + 1
       OR (NEW.supplier_id, NEW.financial_year, NEW.prefix) <> (OLD.supplier_id, OLD.financial_year, OLD.prefix) THEN
        RAISE EXCEPTION 'series %/%: numbers follow each other', OLD.prefix, OLD.financial_year
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER numbers_follow_each_other BEFORE UPDATE OR DELETE ON billing_numberseries
    FOR EACH ROW EXECUTE FUNCTION billing_guard_series();

CREATE FUNCTION billing_guard_gstin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.gstin <> OLD.gstin AND EXISTS (SELECT 1 FROM billing_taxdocument WHERE supplier_id = OLD.id) THEN
        RAISE EXCEPTION 'GSTIN % has issued documents and never changes', OLD.gstin
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER gstin_of_documents_is_fixed BEFORE UPDATE ON billing_supplierregistration
    FOR EACH ROW EXECUTE FUNCTION billing_guard_gstin();
"""
DROP = """
DROP TRIGGER gstin_of_documents_is_fixed ON billing_supplierregistration;
DROP TRIGGER numbers_follow_each_other ON billing_numberseries;
DROP TRIGGER closed_month_is_final ON billing_accountingmonth;
DROP TRIGGER lines_add_up ON billing_taxdocument;
DROP TRIGGER closed_months_get_no_document ON billing_taxdocument;
DROP TRIGGER use_comes_with_its_document ON billing_advanceuse;
DROP TRIGGER item_comes_with_its_document ON billing_billeditem;
DROP TRIGGER line_comes_with_its_document ON billing_documentline;
DROP TRIGGER advance_uses_are_final ON billing_advanceuse;
DROP TRIGGER billed_items_are_final ON billing_billeditem;
DROP TRIGGER document_lines_are_final ON billing_documentline;
DROP TRIGGER documents_are_never_emptied ON billing_taxdocument;
DROP TRIGGER documents_are_final ON billing_taxdocument;
DROP FUNCTION billing_guard_gstin();
DROP FUNCTION billing_guard_series();
DROP FUNCTION billing_guard_month();
DROP FUNCTION billing_check_lines();
DROP FUNCTION billing_guard_new_document();
DROP FUNCTION billing_check_part();
ALTER TABLE billing_taxdocument DROP COLUMN created_xid;
"""
GST_BEGAN = date(2017, 7, 1)
RULES = [
    ("sac", "charging", "998714", GST_BEGAN, "KAR ADRG 24/2023: energy and service are one supply of service"),
    ("rate", "998714", "18", GST_BEGAN, "KAR ADRG 24/2023; review with your chartered accountant"),
    ("advance_tax", "", "1", GST_BEGAN, "CGST Act, section 13(2): services are taxed on receipt; rule 50"),
    ("max_items", "", "1000", date(2020, 10, 1), "INV-01 v1.1"),
    ("irn_days", "", "30", date(2025, 4, 1), "GSTN advisory: turnover of 10 crore rupees and more"),
    ("irn_cancel_hours", "", "24", date(2020, 10, 1), "e-invoice system"),
    ("note_until", "", "11-30", GST_BEGAN, "CGST Act, section 34(2)"),
]


def seed(apps, schema_editor):
    rule = apps.get_model("billing", "TaxRule")
    rows = [
        rule(name=name, subject=subject, value=value, valid_from=valid_from, source=source)
        for name, subject, value, valid_from, source in RULES
    ]
    rule.objects.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_tax_documents")]
    operations = [migrations.RunSQL(CREATE, DROP), migrations.RunPython(seed, migrations.RunPython.noop)]
