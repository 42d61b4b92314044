"""How well chargers work, and tickets for those that need somebody."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("stations", "0032_progress_of_polls"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EvseHealth",
            fields=[
                (
                    "evse",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="health",
                        serialize=False,
                        to="stations.evse",
                    ),
                ),
                ("score", models.PositiveSmallIntegerField(help_text="0 to 100: full marks less the penalties.")),
                ("p_unusable", models.FloatField(help_text="Chance that it cannot be used by who comes now.")),
                (
                    "is_failing",
                    models.BooleanField(default=False, help_text="It fails whoever comes, whatever status it shows."),
                ),
                (
                    "penalties",
                    models.JSONField(default=list, help_text="[{cause, points, figure}], the heaviest first."),
                ),
                ("features", models.JSONField(default=dict, help_text="The figures that the penalties rest on.")),
                ("judged_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "charger health",
                "verbose_name_plural": "charger health",
                "ordering": ["score", "pk"],
                "indexes": [models.Index(fields=["score"], name="worst_units_first")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("score__lte", 100)), name="a_score_is_of_100"),
                    models.CheckConstraint(
                        condition=models.Q(("p_unusable__gte", 0), ("p_unusable__lte", 1)), name="unusable_is_a_chance"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MaintenanceTicket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("failed_starts", "Starts fail"),
                            ("short_sessions", "Sessions end at once"),
                            ("faults", "Reports faults"),
                            ("silence", "Falls silent"),
                            ("reconnects", "Keeps reconnecting"),
                            ("flapping", "Status keeps changing"),
                            ("power_drift", "Gives less power than before"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("planned", "Planned"),
                            ("in_work", "Being worked on"),
                            ("done", "Done"),
                            ("healed", "Works again by itself"),
                            ("dismissed", "Nothing to be done"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("score", models.PositiveSmallIntegerField(help_text="Of its worst unit, when last looked at.")),
                ("evidence", models.JSONField(default=dict, help_text="The penalty and the figures that opened it.")),
                (
                    "slot_starts_at",
                    models.DateTimeField(blank=True, help_text="When least use is expected.", null=True),
                ),
                ("slot_ends_at", models.DateTimeField(blank=True, null=True)),
                (
                    "slot_busy_share",
                    models.FloatField(blank=True, help_text="Expected share of it with a vehicle.", null=True),
                ),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("close_reason", models.CharField(blank=True, max_length=200)),
                (
                    "assignee",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "charger",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="maintenance_tickets",
                        to="stations.charger",
                    ),
                ),
                (
                    "closed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="maintenance_tickets",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "ordering": ["-opened_at"],
            },
        ),
        migrations.CreateModel(
            name="SocketDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("on", models.DateField()),
                ("first_epoch", models.BigIntegerField()),
                ("last_epoch", models.BigIntegerField()),
                (
                    "charger",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="stations.charger"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TicketNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=1000)),
                ("at", models.DateTimeField()),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "ticket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notes",
                        to="stations.maintenanceticket",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="HealthDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("on", models.DateField()),
                ("score", models.PositiveSmallIntegerField()),
                ("p_unusable", models.FloatField()),
                ("penalties", models.JSONField(default=list)),
                ("features", models.JSONField(default=dict)),
                (
                    "evse",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="health_days", to="stations.evse"
                    ),
                ),
            ],
            options={
                "ordering": ["-on"],
                "constraints": [models.UniqueConstraint(models.F("evse"), models.F("on"), name="one_health_per_day")],
            },
        ),
        migrations.AddIndex(
            model_name="maintenanceticket",
            index=models.Index(fields=["organisation", "-opened_at"], name="tickets_of_an_organisation"),
        ),
        migrations.AddConstraint(
            model_name="maintenanceticket",
            constraint=models.UniqueConstraint(
                models.F("charger"),
                models.F("cause"),
                condition=models.Q(("closed_at", None)),
                name="one_open_ticket_per_cause",
            ),
        ),
        migrations.AddConstraint(
            model_name="maintenanceticket",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at", None), ("state__in", ("open", "planned", "in_work"))),
                    models.Q(("closed_at__isnull", False), ("state__in", ("done", "healed", "dismissed"))),
                    _connector="OR",
                ),
                name="a_ticket_is_closed_or_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="maintenanceticket",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("slot_ends_at", None), ("slot_starts_at", None)),
                    ("slot_ends_at__gt", models.F("slot_starts_at")),
                    _connector="OR",
                ),
                name="a_slot_lasts",
            ),
        ),
        migrations.AddConstraint(
            model_name="socketday",
            constraint=models.UniqueConstraint(
                models.F("charger"), models.F("on"), name="one_count_of_sockets_per_day"
            ),
        ),
    ]
