"""An empty answer needs no row of its own: the latency on a charger's CALL says that there was one.

Readers see both frames in the view. A row's id is even from here on in steps, so that the answer has the next one.
"""

from django.db import migrations

CREATE = """
ALTER SEQUENCE ocpp_bridge_frame_id_seq INCREMENT BY 2;
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
DROP = """
DROP VIEW ocpp_bridge_wire;
ALTER SEQUENCE ocpp_bridge_frame_id_seq INCREMENT BY 1;
"""


class Migration(migrations.Migration):
    dependencies = [("ocpp_bridge", "0012_component_events_by_what_they_are_of")]
    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.AlterModelOptions("frame", options={"ordering": ["-row_id", "-id"], "managed": False}),
        migrations.AlterModelTable("frame", "ocpp_bridge_wire"),
    ]
