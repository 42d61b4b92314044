"""The frames of the flight recorder: one partition per UTC day; no primary key, as nothing ever points at a frame."""

from datetime import UTC, datetime

import django.db.models.deletion
from django.db import migrations, models

from fleetcharge.lib.partitions import DayPartitions

CREATE = """
CREATE SEQUENCE ocpp_bridge_frame_id_seq;
CREATE TABLE ocpp_bridge_frame (
    id         bigint      NOT NULL DEFAULT nextval('ocpp_bridge_frame_id_seq'),
    charger_id bigint      NOT NULL,
    at         timestamptz NOT NULL,
    direction  smallint    NOT NULL,
    kind       smallint    NOT NULL,
    action     varchar(60) NOT NULL,
    message_id varchar(64) NOT NULL,
    error_code varchar(40) NOT NULL,
    size_bytes integer     NOT NULL,
    latency_ms double precision,
    is_cut     boolean     NOT NULL DEFAULT false,
    payload    text        NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX frames_of_a_charger ON ocpp_bridge_frame (charger_id, id);
CREATE TABLE ocpp_bridge_frame_default PARTITION OF ocpp_bridge_frame DEFAULT;
"""
DROP = "DROP TABLE ocpp_bridge_frame; DROP SEQUENCE ocpp_bridge_frame_id_seq;"


def make_first_days(apps, schema_editor):
    DayPartitions("ocpp_bridge_frame", "at").ensure(today=datetime.now(UTC).date())


class Migration(migrations.Migration):
    dependencies = [("ocpp_bridge", "0001_initial"), ("stations", "0001_initial")]
    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.RunPython(make_first_days, migrations.RunPython.noop),
        migrations.CreateModel(
            name="Frame",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="When it passed our socket.")),
                ("direction", models.SmallIntegerField(choices=[(0, "From the charger"), (1, "To the charger")])),
                (
                    "kind",
                    models.SmallIntegerField(
                        choices=[
                            (0, "Malformed"),
                            (2, "CALL"),
                            (3, "CALLRESULT"),
                            (4, "CALLERROR"),
                            (5, "CALLRESULTERROR"),
                            (6, "SEND"),
                        ]
                    ),
                ),
                ("action", models.CharField(help_text="Of the CALL, also on its answer.", max_length=60)),
                ("message_id", models.CharField(max_length=64)),
                ("error_code", models.CharField(max_length=40)),
                ("size_bytes", models.IntegerField()),
                ("latency_ms", models.FloatField(help_text="On an answer: since its CALL.", null=True)),
                ("is_cut", models.BooleanField(default=False, help_text="Longer than we keep.")),
                ("payload", models.TextField(help_text="The frame as it went, without secrets.")),
                (
                    "charger",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="stations.charger",
                    ),
                ),
            ],
            options={"db_table": "ocpp_bridge_frame", "ordering": ["-id"], "managed": False},
        ),
    ]
