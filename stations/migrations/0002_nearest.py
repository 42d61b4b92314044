"""Exact nearest-N on the sphere from PostgreSQL's own cube and earthdistance; no PostGIS."""

from django.contrib.postgres.operations import CreateExtension
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("stations", "0001_initial")]
    operations = [
        CreateExtension("cube"),
        CreateExtension("earthdistance"),
        migrations.RunSQL(
            "CREATE INDEX stations_location_earth ON stations_location USING gist (ll_to_earth(latitude, longitude))",
            "DROP INDEX stations_location_earth",
        ),
    ]
