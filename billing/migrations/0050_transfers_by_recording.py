"""Days are sealed, and verified, by the moment of recording; money is posted while the index is built."""

from typing import Any

from django.db import migrations

from fleetcharge.lib.indexes import drop_invalid

NAME = "transfers_by_recording"
# an installation that came through an earlier 0036 has it
CREATE = f"""
CREATE INDEX CONCURRENTLY IF NOT EXISTS {NAME}
    ON billing_ledgertransfer USING brin (recorded_at) WITH (pages_per_range = 32)
"""
DROP = f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}"


def drop_what_an_interrupted_run_left(apps: Any, schema_editor: Any) -> None:
    drop_invalid(schema_editor.connection, NAME)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0049_when_no_more_can_be_held")]

    operations = [
        migrations.RunPython(drop_what_an_interrupted_run_left, migrations.RunPython.noop, elidable=True),
        migrations.RunSQL(CREATE, DROP),
    ]
