import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0027_policies")]

    operations = [
        migrations.AddField(
            "alert",
            "code",
            models.CharField(
                blank=True, db_default="", default="", help_text="What the title says; empty: only as text.", max_length=40
            ),
        ),
        migrations.AddField(
            "alert",
            "body_codes",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField("alert", "parameters", models.JSONField(blank=True, db_default={}, default=dict)),
        migrations.AlterField(
            "alert",
            "title",
            models.CharField(help_text="In English; pages say it in the reader's language.", max_length=160),
        ),
    ]
