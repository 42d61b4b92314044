import django.contrib.postgres.constraints
from django.db import migrations, models

# Plans under way keep their EVSE from when they were made until their vehicle is to be done, as if they had begun at
# once; the others get their window when they are made.
FILL_IN = """
UPDATE dispatch_chargeplan SET window_starts_at = created_at,
    window_ends_at = GREATEST(done_at + interval '10 minutes', plug_in_at + interval '15 minutes',
                              created_at + interval '30 minutes')
WHERE state IN ('proposed', 'accepted', 'reserved');
UPDATE dispatch_reservation r SET stay_ends_at = p.window_ends_at FROM dispatch_chargeplan p
WHERE p.id = r.plan_id AND r.state IN ('requested', 'confirmed') AND p.state IN ('accepted', 'reserved')
  AND NOT EXISTS (SELECT 1 FROM dispatch_reservation o WHERE o.evse_id = r.evse_id AND o.number <> r.number
                  AND o.state IN ('requested', 'confirmed') AND o.starts_at < p.window_ends_at
                  AND o.expires_at > r.starts_at);
SET CONSTRAINTS ALL IMMEDIATE;
"""
# Before there were windows one plan per EVSE was the rule: where several wait for their time the firmest stays, then
# the first. The sweep plans for the others again.
KEEP_ONE = """
UPDATE dispatch_chargeplan p SET state = 'expired', closed_at = now() FROM (
    SELECT id, row_number() OVER (
        PARTITION BY evse_id
        ORDER BY array_position(ARRAY['reserved', 'accepted', 'proposed'], state::text), window_starts_at, id
    ) AS place
    FROM dispatch_chargeplan WHERE state IN ('proposed', 'accepted', 'reserved') AND evse_id IS NOT NULL
) ranked WHERE ranked.id = p.id AND ranked.place > 1;
UPDATE dispatch_reservation r SET state = 'cancelled', reason = 'replaced', answered_at = now()
FROM dispatch_chargeplan p WHERE p.id = r.plan_id AND p.state = 'expired' AND r.state IN ('requested', 'confirmed');
SET CONSTRAINTS ALL IMMEDIATE;
"""
UNDER_WAY = models.Q(("state__in", ("proposed", "accepted", "reserved")))
PROMISED = models.Q(("state__in", ("requested", "confirmed")))


def span(*ends):
    return models.Func(*ends, function="TSTZRANGE")


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0032_depot_nights"),
    ]

    operations = [
        migrations.AddField(
            model_name="chargeplan",
            name="window_starts_at",
            field=models.DateTimeField(blank=True, help_text="From when on its place is kept.", null=True),
        ),
        migrations.AddField(
            model_name="chargeplan",
            name="window_ends_at",
            field=models.DateTimeField(blank=True, help_text="Until when nobody else is sent there.", null=True),
        ),
        migrations.AddField(
            model_name="reservation",
            name="stay_ends_at",
            field=models.DateTimeField(blank=True, help_text="Of a plan: until when it is to charge there.", null=True),
        ),
        migrations.RemoveConstraint(model_name="chargeplan", name="one_vehicle_under_way_per_evse"),
        migrations.RemoveConstraint(model_name="reservation", name="reservations_never_overlap"),
        migrations.RunSQL(FILL_IN, KEEP_ONE),
        migrations.AddConstraint(
            model_name="chargeplan",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=UNDER_WAY,
                expressions=[("evse", "="), (span("window_starts_at", "window_ends_at"), "&&")],
                name="one_vehicle_under_way_per_evse",
            ),
        ),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=PROMISED,
                expressions=[
                    ("evse", "="),
                    (span("starts_at", models.Func("expires_at", "stay_ends_at", function="GREATEST")), "&&"),
                ],
                name="reservations_never_overlap",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("window_ends_at", None), ("window_starts_at", None)),
                    ("window_ends_at__gt", models.F("window_starts_at")),
                    _connector="OR",
                ),
                name="a_plans_window_lasts",
            ),
        ),
        migrations.AddIndex(
            model_name="chargeplan",
            index=models.Index(condition=UNDER_WAY, fields=["evse"], name="plans_under_way_at_evse"),
        ),
    ]
