"""Frames of a charger are kept some in a row (ocpp_bridge.packs). What was recorded is kept.

Back from here the table of single frames is there again, and empty: recordings do not go back.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from fleetcharge.lib.partitions import DayPartitions
from ocpp_bridge import packs

CREATE = """
CREATE SEQUENCE ocpp_bridge_frame_pack_id_seq INCREMENT BY 1024;
CREATE TABLE ocpp_bridge_frame_pack (
    id         bigint      NOT NULL DEFAULT nextval('ocpp_bridge_frame_pack_id_seq'),
    charger_id bigint      NOT NULL,
    at         timestamptz NOT NULL,
    until      timestamptz NOT NULL,
    frames     bytea       NOT NULL
) PARTITION BY RANGE (at);
ALTER TABLE ocpp_bridge_frame_pack ALTER frames SET STORAGE EXTERNAL;
CREATE INDEX packs_of_a_charger ON ocpp_bridge_frame_pack (charger_id, id);
CREATE TABLE ocpp_bridge_frame_pack_default PARTITION OF ocpp_bridge_frame_pack DEFAULT;
ALTER TABLE ocpp_bridge_frame_pack_default ALTER frames SET STORAGE EXTERNAL;
"""
DROP = "DROP TABLE ocpp_bridge_frame_pack; DROP SEQUENCE ocpp_bridge_frame_pack_id_seq;"
DROP_SINGLE = """
DROP VIEW ocpp_bridge_wire;
DROP TABLE ocpp_bridge_frame;
DROP SEQUENCE ocpp_bridge_frame_id_seq;
"""
CREATE_SINGLE = """
CREATE SEQUENCE ocpp_bridge_frame_id_seq INCREMENT BY 2;
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
CREATE VIEW ocpp_bridge_wire AS
SELECT
    f.id + part.n AS id,
    f.id AS row_id,
    f.at AS row_at,
    f.charger_id,
    CASE part.n WHEN 0 THEN f.at ELSE f.at + f.latency_ms * interval '1 millisecond' END AS at,
    CASE part.n WHEN 0 THEN f.direction ELSE 1::smallint END AS direction,
    CASE part.n WHEN 0 THEN f.kind ELSE 3::smallint END AS kind,
    f.action,
    f.message_id,
    f.error_code,
    CASE part.n WHEN 0 THEN f.size_bytes ELSE octet_length(f.message_id) + 9 END AS size_bytes,
    CASE WHEN part.n = 0 AND f.kind = 2 THEN NULL ELSE f.latency_ms END AS latency_ms,
    CASE part.n WHEN 0 THEN f.is_cut ELSE false END AS is_cut,
    CASE part.n WHEN 0 THEN f.payload ELSE '[3,"' || f.message_id || '",{}]' END AS payload
FROM ocpp_bridge_frame f
CROSS JOIN LATERAL (
    SELECT 0 AS n
    UNION ALL
    SELECT 1 WHERE f.kind = 2 AND f.direction = 0 AND f.latency_ms IS NOT NULL
) part;
"""
SINGLE = """
SELECT charger_id, extract(epoch FROM at)::float8, direction, kind, action, message_id, error_code, size_bytes,
    latency_ms, is_cut, payload
FROM ocpp_bridge_frame ORDER BY charger_id, id
"""
INSERT = """
INSERT INTO ocpp_bridge_frame_pack (charger_id, at, until, frames)
VALUES (%s, to_timestamp(%s), to_timestamp(%s), %s)
"""


# Processes of the release before wait here, give up after 20 seconds and count what they could not write. Whoever
# follows a charger's frames goes on from the last id there was.
STOP_WRITERS = """
LOCK TABLE ocpp_bridge_frame IN SHARE ROW EXCLUSIVE MODE;
SELECT setval('ocpp_bridge_frame_pack_id_seq', last_value) FROM ocpp_bridge_frame_id_seq;
"""


def make_days(apps: Any, schema_editor: Any) -> None:
    today = datetime.now(UTC).date()
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT (min(at) AT TIME ZONE 'UTC')::date FROM ocpp_bridge_frame")
        first = min(cursor.fetchone()[0] or today, today)
    days = DayPartitions("ocpp_bridge_frame_pack", "at")
    days.ensure(today=first, days_ahead=(today - first).days)
    days.ensure(today=today)


def pack_what_there_is(apps: Any, schema_editor: Any) -> None:
    database = schema_editor.connection
    with database.connection.cursor(name="single_frames") as single, database.cursor() as cursor:
        single.itersize = 500
        single.execute(SINGLE)
        for charger_id, rows in groupby(single, key=lambda row: row[0]):
            for part in _portions(rows):
                begins, ends = min(one.at for one in part), max(one.ended_at for one in part)
                cursor.execute(INSERT, [charger_id, begins, ends, packs.pack(part)])


def _portions(rows: Iterator[Any]) -> Iterator[Any]:
    """A charger's frames as packs, without holding all of them."""
    held: list[packs.Kept] = []
    for row in rows:
        held.append(packs.Kept(*row[1:]))
        if len(held) >= 4 * packs.MOST_FRAMES:
            *whole, rest = packs.portions(held)
            yield from whole
            held = list(rest)
    yield from packs.portions(held)


class Migration(migrations.Migration):
    dependencies = [("ocpp_bridge", "0015_goals_by_time")]
    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.RunSQL(STOP_WRITERS, migrations.RunSQL.noop),
        migrations.RunPython(make_days, migrations.RunPython.noop),
        migrations.RunPython(pack_what_there_is, migrations.RunPython.noop),
        migrations.RunSQL(DROP_SINGLE, CREATE_SINGLE),
        migrations.DeleteModel("Frame"),
        migrations.CreateModel(
            name="FramePack",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="When the first passed our socket.")),
                ("until", models.DateTimeField(help_text="When the last did.")),
                ("frames", models.BinaryField()),
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
            options={"db_table": "ocpp_bridge_frame_pack", "ordering": ["-id"], "managed": False},
        ),
    ]
