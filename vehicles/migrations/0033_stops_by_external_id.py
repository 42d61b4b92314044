"""A file's ids find their stops by an index, however many stops there are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0032_stops_by_file")]
    operations = [
        migrations.AddIndex(
            "stop",
            models.Index(
                fields=["external_id"],
                condition=models.Q(("external_id", ""), _negated=True),
                name="stops_by_external_id",
            ),
        ),
    ]
