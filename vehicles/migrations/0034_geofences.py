"""Areas that a fleet has drawn, who is in them, and who came and left."""

import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("accounts", "0020_idempotent_writes"), ("vehicles", "0033_stops_by_external_id")]
    operations = [
        migrations.CreateModel(
            name="Geofence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=120)),
                (
                    "geometry",
                    models.JSONField(help_text="GeoJSON: Point, Polygon or MultiPolygon; longitude first."),
                ),
                ("radius_m", models.PositiveIntegerField(blank=True, help_text="Of a Point.", null=True)),
                (
                    "revision",
                    models.PositiveIntegerField(
                        editable=False,
                        help_text="Of the fleet's geofences when it came: who was inside then did not enter.",
                    ),
                ),
                (
                    "depot",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Public id of the site of a depot.",
                        max_length=40,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("removed_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="geofences",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("organisation"),
                        django.db.models.functions.text.Lower("name"),
                        condition=Q(("removed_at", None)),
                        name="one_geofence_per_name",
                    ),
                    models.UniqueConstraint(
                        models.F("organisation"),
                        models.F("depot"),
                        condition=Q(("depot", ""), _negated=True),
                        name="one_geofence_per_depot",
                    ),
                    models.CheckConstraint(
                        condition=Q(("radius_m", None), ("radius_m__range", (20, 50000)), _connector="OR"),
                        name="geofence_radius_is_in_range",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GeofenceSet",
            fields=[
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="geofence_set",
                        serialize=False,
                        to="accounts.organisation",
                    ),
                ),
                ("revision", models.PositiveIntegerField(default=0)),
                ("geofences", models.PositiveIntegerField(default=0, help_text="That are not removed.")),
            ],
        ),
        migrations.CreateModel(
            name="GeofenceCursor",
            fields=[
                (
                    "vehicle",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="vehicles.vehicle",
                    ),
                ),
                ("checked_at", models.DateTimeField(help_text="The newest position that was judged.")),
                ("version", models.BigIntegerField()),
                ("revision", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="GeofenceStanding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_inside", models.BooleanField()),
                ("is_doubted", models.BooleanField()),
                (
                    "since",
                    models.DateTimeField(
                        help_text="Of the position that settled it, or the first that was looked at."
                    ),
                ),
                (
                    "geofence",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="standings",
                        to="vehicles.geofence",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="geofence_standings",
                        to="vehicles.vehicle",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("vehicle"), models.F("geofence"), name="one_standing_per_vehicle_and_geofence"
                    ),
                    models.CheckConstraint(
                        condition=Q(("is_inside", True), ("is_doubted", True), _connector="OR"),
                        name="who_is_outside_has_no_row",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GeofenceEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("entered", "Entered"), ("left", "Left")], max_length=7),
                ),
                ("at", models.DateTimeField()),
                ("latitude", models.FloatField()),
                ("longitude", models.FloatField()),
                (
                    "geofence",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="events", to="vehicles.geofence"
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="geofence_events",
                        to="accounts.organisation",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="geofence_events",
                        to="vehicles.vehicle",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "indexes": [models.Index(fields=["organisation", "-id"], name="geofence_events_of_a_fleet")],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("vehicle"), models.F("geofence"), models.F("at"), name="one_crossing_per_position"
                    )
                ],
            },
        ),
    ]
