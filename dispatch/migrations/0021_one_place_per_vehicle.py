import django.contrib.postgres.constraints
from django.db import migrations, models

# Of two places of one vehicle at one time the later promise stays. Networks are told by the sweep, which finds what was
# let go and not given back, and lets plugs go that are held for nobody; plans that lose theirs are made again by the
# one that finds them stranded.
KEEP_THE_LATEST = """
UPDATE dispatch_reservation r SET state = 'cancelled', reason = 'replaced', answered_at = now()
WHERE r.state IN ('requested', 'confirmed') AND EXISTS (
    SELECT 1 FROM dispatch_reservation o
    WHERE o.vehicle_id = r.vehicle_id AND o.number > r.number AND o.state IN ('requested', 'confirmed')
      AND tstzrange(o.starts_at, o.expires_at) && tstzrange(r.starts_at, r.expires_at));
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0020_reservations_in_time"),
    ]

    operations = [
        migrations.RunSQL(KEEP_THE_LATEST, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=models.Q(("state__in", ("requested", "confirmed"))),
                expressions=[
                    ("vehicle", "="),
                    (models.Func("starts_at", "expires_at", function="TSTZRANGE"), "&&"),
                ],
                name="one_place_per_vehicle",
            ),
        ),
    ]
