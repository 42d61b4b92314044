"""Days are sealed, and verified, by the moment of recording; money is posted while the index is built."""

from django.db import migrations

# an installation that came through an earlier 0036 has it
CREATE = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS transfers_by_recording
    ON billing_ledgertransfer USING brin (recorded_at) WITH (pages_per_range = 32)
"""
DROP = "DROP INDEX CONCURRENTLY IF EXISTS transfers_by_recording"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0049_when_no_more_can_be_held")]

    operations = [migrations.RunSQL(CREATE, DROP)]
