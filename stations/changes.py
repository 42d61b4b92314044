"""What changed in the registry since a reader last looked, exactly once whatever order transactions commit in.

A cursor is a PostgreSQL snapshot ("xmin:xmax:running"): every transaction is in it or not, so two cursors have neither
a gap nor an overlap between them. Every change keeps the transaction that made it (migration 0024). After a dump was
restored into another cluster its transaction numbers mean nothing: docs/operations.md says what to run.
"""

import re

SNAPSHOT = re.compile(r"(\d{1,19}):(\d{1,19}):(?:\d{1,19}(?:,\d{1,19})*)?")
MAX_CURSOR_LENGTH = 4_000

NEW = """s.xact >= pg_snapshot_xmin(%(since)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(s.xact, %(since)s::pg_snapshot)"""
WITHIN = "s.xact < pg_snapshot_xmax(%(until)s::pg_snapshot) AND pg_visible_in_snapshot(s.xact, %(until)s::pg_snapshot)"
COLUMNS = """s.id, l.organisation_id, c.public_id, e.public_id, l.public_id, n.slug, s.old, s.new, s.reason,
    s.raw_status, s.at, s.received_at, c.plug, c.max_power_w, l.latitude, l.longitude"""
JOINED = """stations_statuschange s JOIN stations_connector c ON c.id = s.connector_id
    JOIN stations_evse e ON e.id = c.evse_id JOIN stations_location l ON l.id = e.location_id
    JOIN stations_source n ON n.id = l.source_id"""
NOT_REMOVED = "NOT c.is_removed AND NOT e.is_removed AND NOT l.is_removed"

NOW = "SELECT pg_current_snapshot()::text"
# One statement, so one snapshot: the cursor says exactly what the rows beside it hold.
FOLLOW = f"""
SELECT snapshot.cursor, news.* FROM (SELECT pg_current_snapshot()::text AS cursor) snapshot LEFT JOIN (
    SELECT {COLUMNS} FROM {JOINED} WHERE {NEW} AND {NOT_REMOVED}
) news ON true ORDER BY news.id
"""  # noqa: S608 (constants of this module)
REPLAY = f"""
SELECT %(until)s::text, {COLUMNS} FROM {JOINED} WHERE {NEW} AND {WITHIN} AND {NOT_REMOVED} ORDER BY s.id LIMIT %(limit)s
"""  # noqa: S608
IS_UNCHANGED = f"{NOW}, NOT EXISTS (SELECT 1 FROM stations_registrychange s WHERE {NEW})"  # noqa: S608
FORGET = "DELETE FROM stations_registrychange WHERE at < now() - interval '10 minutes'"


def is_cursor(text: str) -> bool:
    """Whether PostgreSQL will read it as a snapshot."""
    match = SNAPSHOT.fullmatch(text) if len(text) <= MAX_CURSOR_LENGTH else None
    if match is None or not 0 < int(match[1]) <= int(match[2]) < 2**63:
        return False
    running = [int(xact) for xact in text.rpartition(":")[2].split(",") if xact]
    return running == sorted(set(running)) and all(int(match[1]) <= xact < int(match[2]) for xact in running)


def is_of_the_future(cursor: str, now: str) -> bool:
    """A cursor that this database cannot have given out yet: of another one, or of before a restore."""
    return int(cursor.split(":")[1]) > int(now.split(":")[1])
