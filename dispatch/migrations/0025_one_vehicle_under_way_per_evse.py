import django.db.models.deletion
from django.db import migrations, models

# Of two vehicles under way to one EVSE the one whose promise is firmest stays, then the earlier one. The sweep plans
# for the others again.
KEEP_THE_FIRMEST = """
UPDATE dispatch_chargeplan p SET evse_id = c.evse_id FROM stations_connector c WHERE c.id = p.connector_id;
UPDATE dispatch_chargeplan p SET state = 'expired', closed_at = now() FROM (
    SELECT id, row_number() OVER (
        PARTITION BY evse_id ORDER BY array_position(ARRAY['reserved', 'accepted', 'proposed'], state::text), id
    ) AS place
    FROM dispatch_chargeplan WHERE state IN ('proposed', 'accepted', 'reserved') AND evse_id IS NOT NULL
) ranked WHERE ranked.id = p.id AND ranked.place > 1;
UPDATE dispatch_reservation r SET state = 'cancelled', reason = 'replaced', answered_at = now()
FROM dispatch_chargeplan p WHERE p.id = r.plan_id AND p.state = 'expired' AND r.state IN ('requested', 'confirmed');
SET CONSTRAINTS ALL IMMEDIATE;
"""
FOLLOW_THE_PLUG = """
CREATE FUNCTION dispatch_evse_of_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.evse_id := (SELECT evse_id FROM stations_connector WHERE id = NEW.connector_id);
    RETURN NEW;
END $$;
CREATE TRIGGER plan_knows_its_evse BEFORE INSERT OR UPDATE OF connector_id ON dispatch_chargeplan
    FOR EACH ROW EXECUTE FUNCTION dispatch_evse_of_plan();
"""
FORGET_THE_PLUG = """
DROP TRIGGER plan_knows_its_evse ON dispatch_chargeplan;
DROP FUNCTION dispatch_evse_of_plan();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0024_vehicle_alarms"),
        ("stations", "0026_webhook_feeds"),
    ]

    operations = [
        migrations.AddField(
            model_name="chargeplan",
            name="evse",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="stations.evse",
            ),
        ),
        migrations.RunSQL(KEEP_THE_FIRMEST, migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW_THE_PLUG, FORGET_THE_PLUG),
        migrations.AddConstraint(
            model_name="chargeplan",
            constraint=models.UniqueConstraint(
                models.F("evse"),
                condition=models.Q(("state__in", ("proposed", "accepted", "reserved"))),
                name="one_vehicle_under_way_per_evse",
            ),
        ),
    ]
