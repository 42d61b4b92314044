"""What is learned of plugs, and forecasts beside what came of them."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0028_alerts_in_words"),
        ("stations", "0033_health"),
        ("vehicles", "0029_estimated_charge"),
    ]

    operations = [
        migrations.CreateModel(
            name="Calibration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("was_free", models.BooleanField()),
                ("horizon_minutes", models.PositiveSmallIntegerField()),
                ("points", models.JSONField(default=list, help_text="[[said, came true], ...], rising.")),
                ("forecasts", models.PositiveIntegerField(default=0)),
                ("learned_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("was_free"), models.F("horizon_minutes"), name="one_calibration_per_horizon"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Forecast",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField()),
                ("for_at", models.DateTimeField()),
                ("horizon_minutes", models.PositiveSmallIntegerField()),
                ("was_free", models.BooleanField(help_text="When it was made.")),
                ("raw_probability", models.FloatField(help_text="Of being free, before calibration.")),
                ("probability", models.FloatField(help_text="Of being free, as it was given.")),
                ("is_free", models.BooleanField(help_text="What came of it; empty: nobody knows.", null=True)),
                ("scored_at", models.DateTimeField(blank=True, null=True)),
                (
                    "connector",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="stations.connector"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [
                    models.Index(condition=models.Q(("scored_at", None)), fields=["for_at"], name="forecasts_to_score"),
                    django.contrib.postgres.indexes.BrinIndex(fields=["made_at"], name="forecasts_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("connector"),
                        models.F("made_at"),
                        models.F("horizon_minutes"),
                        name="one_forecast_per_moment",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LearnedCurve",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("points", models.JSONField(help_text="[[soc_percent, power_w], ...]")),
                ("sessions", models.PositiveIntegerField()),
                ("learned_at", models.DateTimeField()),
                (
                    "evse",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="stations.evse"
                    ),
                ),
                (
                    "vehicle_model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="vehicles.vehiclemodel"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("vehicle_model"), models.F("evse"), name="one_curve_per_model_and_evse"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PlugGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "plug",
                    models.CharField(
                        choices=[
                            ("ccs2", "CCS2"),
                            ("type2_socket", "Type 2 socket"),
                            ("type2_cable", "Type 2 cable"),
                            ("chademo", "CHAdeMO"),
                            ("bharat_ac001", "Bharat AC-001"),
                            ("bharat_dc001", "Bharat DC-001"),
                            ("gbt_dc", "GB/T DC"),
                            ("is17017_2_6", "Type 6 (LEVDC)"),
                            ("is17017_2_7", "Type 7 (LECCS)"),
                            ("is1293_15a", "15 A socket"),
                            ("is1293_5a", "5 A socket"),
                            ("pantograph_up", "Pantograph"),
                            ("mcs", "MCS"),
                            ("unknown", "Unknown plug"),
                        ],
                        max_length=16,
                    ),
                ),
                ("max_power_w", models.PositiveIntegerField()),
                ("plugs", models.PositiveIntegerField(default=0)),
                ("sessions", models.PositiveIntegerField(default=0)),
                (
                    "session_seconds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.FloatField(),
                        default=list,
                        help_text="How long they last: each number stands for as many sessions.",
                        size=None,
                    ),
                ),
                ("hours_seen", models.FloatField(default=0)),
                (
                    "busy_by_hour",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.FloatField(),
                        default=list,
                        help_text="Share of the time, by the hour of the week from Monday 00:00.",
                        size=None,
                    ),
                ),
                ("keeps", models.FloatField(default=0, help_text="What is left of a deviation after an hour.")),
                ("learned_at", models.DateTimeField()),
                (
                    "location",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="stations.location",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("location"),
                        models.F("plug"),
                        models.F("max_power_w"),
                        name="one_group_per_kind_of_plug",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
    ]
