"""Which transaction changed what, so that a reader can ask for exactly what it has not seen (stations/changes.py)."""

from django.db import migrations

# pg_current_xact_id() orders by start, not by commit: readers compare whole snapshots, never the greatest id they saw.
STATUS_CHANGES = """
ALTER TABLE stations_statuschange ADD COLUMN xact xid8 NOT NULL DEFAULT '0';
ALTER TABLE stations_statuschange ALTER COLUMN xact SET DEFAULT pg_current_xact_id();
CREATE INDEX status_changes_by_transaction ON stations_statuschange (xact);
"""
REGISTRY = """
CREATE TABLE stations_registrychange (
    xact xid8 PRIMARY KEY DEFAULT pg_current_xact_id(), at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION stations_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stations_registrychange DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
"""
NO_REGISTRY = "DROP FUNCTION stations_note_change() CASCADE; DROP TABLE stations_registrychange;"
TABLES = ("location", "evse", "connector", "charger", "tariff", "source", "networkaccess")
# What the public answers hold; a word heard again is no news, and the minute in the ETag covers how old it is.
SHOWN = {
    "connector": "evse_id connector_id plug format power_type max_power_w tariff_id status status_reason raw_status "
    "status_since error_code is_removed",
    "charger": "is_online location_id",
    "source": "slug name kind organisation_id state licence attribution",
}


def _triggers(table: str) -> str:
    columns = SHOWN.get(table, "*").split()
    changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
    name = f"stations_{table}_changed"
    return f"""
CREATE TRIGGER {name} AFTER UPDATE ON stations_{table} FOR EACH ROW WHEN ({changed})
    EXECUTE FUNCTION stations_note_change();
CREATE TRIGGER {name}_rows AFTER INSERT OR DELETE ON stations_{table} FOR EACH STATEMENT
    EXECUTE FUNCTION stations_note_change();
"""


class Migration(migrations.Migration):
    dependencies = [("stations", "0023_registry")]
    operations = [
        migrations.RunSQL(STATUS_CHANGES, "ALTER TABLE stations_statuschange DROP COLUMN xact"),
        migrations.RunSQL(REGISTRY + "".join(map(_triggers, TABLES)), NO_REGISTRY),
    ]
