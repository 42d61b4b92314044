"""How far the poll of each network is, and how its last one went."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stations", "0031_held_connectors"),
    ]

    operations = [
        migrations.CreateModel(
            name="PollRun",
            fields=[
                (
                    "source",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="poll_run",
                        serialize=False,
                        to="stations.source",
                    ),
                ),
                ("began_at", models.DateTimeField(help_text="Of the poll that runs; empty between two.", null=True)),
                ("heard_at", models.DateTimeField(help_text="When its last page was done.", null=True)),
                (
                    "is_full",
                    models.BooleanField(default=False, help_text="The whole list is read, not only what changed."),
                ),
                (
                    "part",
                    models.CharField(
                        blank=True, help_text="Which list is being read, as the network says it.", max_length=30
                    ),
                ),
                ("page", models.PositiveIntegerField(default=0, help_text="Of this list, from 1.")),
                (
                    "pages",
                    models.PositiveIntegerField(
                        help_text="Of this list; empty where the network does not say.", null=True
                    ),
                ),
                ("read", models.PositiveIntegerField(default=0, help_text="Objects so far, of all lists.")),
                ("refused", models.PositiveIntegerField(default=0)),
                ("last_began_at", models.DateTimeField(null=True)),
                ("last_ended_at", models.DateTimeField(null=True)),
                (
                    "last_result",
                    models.CharField(blank=True, choices=[("done", "Done"), ("failed", "Failed")], max_length=6),
                ),
                ("last_was_full", models.BooleanField(default=False)),
                ("last_read", models.PositiveIntegerField(default=0)),
                (
                    "last_written",
                    models.PositiveIntegerField(default=0, help_text="Sites that were new or had changed."),
                ),
                ("last_refused", models.PositiveIntegerField(default=0)),
            ],
        ),
    ]
