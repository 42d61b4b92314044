"""The audit trail refuses change in the database, not by convention."""

from django.db import migrations

CREATE = """
CREATE FUNCTION fleetcharge_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION fleetcharge_refuse_change();
"""
DROP = """
DROP TRIGGER audit_is_append_only ON accounts_auditentry;
DROP FUNCTION fleetcharge_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
