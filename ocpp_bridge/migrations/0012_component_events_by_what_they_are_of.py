"""Stations that number every event 0 lose none: what an event is of belongs to its key."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ocpp_bridge", "0011_one_rollout_per_order"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="componentevent", name="one_component_event_per_fact"),
        migrations.AddConstraint(
            model_name="componentevent",
            constraint=models.UniqueConstraint(
                models.F("charger"),
                models.F("event_id"),
                models.F("at"),
                models.F("component"),
                models.F("variable"),
                name="one_component_event_per_fact",
            ),
        ),
    ]
