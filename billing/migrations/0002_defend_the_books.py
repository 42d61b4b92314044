"""The database keeps the books honest: no change, no mixed currency, no late leg, no forged balance."""

from django.db import migrations

CREATE = """
CREATE SEQUENCE billing_transaction_id AS integer MINVALUE 1 MAXVALUE 2147483647 NO CYCLE;

-- xid8 of the top-level transaction; xmin would be the savepoint's inside a nested atomic()
ALTER TABLE billing_ledgertransfer ADD COLUMN created_xid xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON billing_ledgertransfer
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER ledger_is_never_emptied BEFORE TRUNCATE ON billing_ledgertransfer
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();

CREATE FUNCTION billing_check_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    original billing_ledgertransfer%ROWTYPE;
BEGIN
    NEW.created_xid := pg_current_xact_id();
    IF EXISTS (SELECT 1 FROM billing_ledgeraccount
               WHERE id IN (NEW.debit_id, NEW.credit_id) AND (currency <> NEW.currency OR closed_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'transfer %: account is closed or of another currency', NEW.entry_key
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM billing_ledgertransfer
               WHERE entry_key = NEW.entry_key AND leg <> NEW.leg AND created_xid <> NEW.created_xid) THEN
        RAISE EXCEPTION 'entry % is closed: no leg can be added', NEW.entry_key USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.reverses_id IS NOT NULL THEN
        SELECT * INTO original FROM billing_ledgertransfer WHERE id = NEW.reverses_id;
        IF (original.debit_id, original.credit_id, original.amount_paise)
           IS DISTINCT FROM (NEW.credit_id, NEW.debit_id, NEW.amount_paise) THEN
            RAISE EXCEPTION 'transfer % does not mirror what it reverses', NEW.entry_key
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfer_is_sound BEFORE INSERT ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION billing_check_transfer();

-- after the insert, so the lock on the hot wallet row is taken last
CREATE FUNCTION billing_project_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_wallet
       SET posted_paise = posted_paise + CASE WHEN account_id = NEW.credit_id THEN NEW.amount_paise
                                              ELSE -NEW.amount_paise END
     WHERE account_id IN (NEW.debit_id, NEW.credit_id);
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_follows_ledger AFTER INSERT ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION billing_project_wallet();

CREATE FUNCTION billing_guard_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.posted_paise <> 0 OR NEW.held_paise <> 0 THEN
            RAISE EXCEPTION 'a wallet opens empty: post a top-up' USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF (NEW.posted_paise <> OLD.posted_paise OR NEW.account_id <> OLD.account_id) AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'the posted balance follows the ledger: post a transfer' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER wallet_balance_is_derived BEFORE INSERT OR UPDATE ON billing_wallet
    FOR EACH ROW EXECUTE FUNCTION billing_guard_wallet();

CREATE FUNCTION billing_guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.code, NEW.kind, NEW.currency) IS DISTINCT FROM (OLD.code, OLD.kind, OLD.currency) THEN
        RAISE EXCEPTION 'account %: code, kind and currency never change', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_identity_is_fixed BEFORE UPDATE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_guard_account();

CREATE FUNCTION billing_guard_cdr() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY['captured_at', 'is_blocked'];
BEGIN
    IF OLD.rated_at IS NULL THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free
       OR (OLD.captured_at IS NOT NULL AND NEW.captured_at IS DISTINCT FROM OLD.captured_at) THEN
        RAISE EXCEPTION 'CDR % is rated: % refused', OLD.id, TG_OP USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rated_cdr_is_final BEFORE UPDATE OR DELETE ON billing_cdr
    FOR EACH ROW EXECUTE FUNCTION billing_guard_cdr();
"""
DROP = """
DROP TRIGGER rated_cdr_is_final ON billing_cdr;
DROP TRIGGER account_identity_is_fixed ON billing_ledgeraccount;
DROP TRIGGER wallet_balance_is_derived ON billing_wallet;
DROP TRIGGER wallet_follows_ledger ON billing_ledgertransfer;
DROP TRIGGER transfer_is_sound ON billing_ledgertransfer;
DROP TRIGGER ledger_is_never_emptied ON billing_ledgertransfer;
DROP TRIGGER ledger_is_append_only ON billing_ledgertransfer;
DROP FUNCTION billing_guard_cdr();
DROP FUNCTION billing_guard_account();
DROP FUNCTION billing_guard_wallet();
DROP FUNCTION billing_project_wallet();
DROP FUNCTION billing_check_transfer();
DROP FUNCTION billing_refuse_change();
ALTER TABLE billing_ledgertransfer DROP COLUMN created_xid;
DROP SEQUENCE billing_transaction_id;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, DROP)]
