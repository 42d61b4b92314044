"""Uploaded bills are read in portions into drafts; what cannot be used is counted, files are forgotten."""

from django.db import migrations, models
from django.db.models import Q

COUNT = "UPDATE billing_billupload SET unusable = jsonb_array_length(problems)"
SUM = """
UPDATE billing_networkbill b SET lines = s.lines, outcomes = s.outcomes, asked_paise = s.asked
FROM (
    SELECT bill_id, sum(lines) AS lines, jsonb_object_agg(outcome, count) AS outcomes,
           COALESCE(sum(asked) FILTER (WHERE outcome NOT IN ('agrees', 'missing')), 0) AS asked
    FROM (SELECT bill_id, outcome, count(*) AS count, count(*) FILTER (WHERE line > 0) AS lines,
                 sum(difference_paise) AS asked
          FROM billing_networkbillrow GROUP BY bill_id, outcome) r
    GROUP BY bill_id
) s WHERE s.bill_id = b.id
"""
CHOICES = [
    ("read", "Reading its lines"), ("find", "Looking for records by their ids"),
    ("guess", "Looking for records by start and energy"), ("fill", "Reading the meters"),
    ("judge", "Comparing bill, record and meter"), ("missing", "Listing records that it does not name"),
    ("finish", "Making the report"),
]  # fmt: skip


def once(name: str, *fields: str, condition: Q | None = None) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["organisation", "source", *fields], condition=condition, name=name)


class Migration(migrations.Migration):
    dependencies = [("billing", "0051_large_invoices_to_consumers")]

    operations = [
        migrations.AddField("networkbill", "is_draft", models.BooleanField(default=False)),
        migrations.AddField("networkbill", "lines", models.PositiveIntegerField(default=0)),
        migrations.AddField(
            "networkbill", "outcomes",
            models.JSONField(blank=True, default=dict, help_text="{outcome: how many}"),
        ),
        migrations.AddField(
            "networkbill", "asked_paise",
            models.BigIntegerField(default=0, help_text="What it asks more than our records."),
        ),
        migrations.RemoveConstraint("networkbill", "one_row_per_network_bill"),
        migrations.RemoveConstraint("networkbill", "one_import_per_bill_file"),
        migrations.AddConstraint(
            "networkbill", once("one_row_per_network_bill", "number", condition=Q(is_draft=False))
        ),
        migrations.AddConstraint(
            "networkbill", once("one_import_per_bill_file", "file_sha256", condition=Q(is_draft=False))
        ),
        migrations.AddField(
            "networkbillrow", "is_guessed",
            models.BooleanField(default=False, help_text="Found by start and energy, not by an id."),
        ),
        migrations.AddField(
            "billupload", "stage", models.CharField(choices=CHOICES, default="read", max_length=8),
        ),
        migrations.AddField(
            "billupload", "reached",
            models.PositiveIntegerField(default=0, help_text="Line of the file, or part of its days."),
        ),
        migrations.AddField("billupload", "last_line", models.PositiveIntegerField(default=0)),
        migrations.AddField(
            "billupload", "beside",
            models.PositiveIntegerField(default=0, help_text="Bills of the network that it was compared beside."),
        ),
        migrations.AddField(
            "billupload", "unusable",
            models.PositiveIntegerField(default=0, help_text="Lines that cannot be used."),
        ),
        migrations.AddField(
            "billupload", "forgotten_at",
            models.DateTimeField(blank=True, help_text="The file was deleted then.", null=True),
        ),
        migrations.AlterField(
            "billupload", "problems",
            models.JSONField(blank=True, default=list, help_text="[line, why] of the first that cannot be used"),
        ),
        migrations.RunSQL([COUNT, SUM], migrations.RunSQL.noop),
    ]  # fmt: skip
