"""Limits of vehicles, drivers and fleets become spending limits; the old table goes."""

from django.db import migrations


def move(apps, schema_editor):
    old, new = apps.get_model("billing", "ChargingLimit"), apps.get_model("billing", "SpendLimit")
    rows = []
    for row in old.objects.iterator():
        scope = "vehicle" if row.vehicle_id else "driver" if row.driver_id else "organisation"
        whose = {
            "organisation_id": row.organisation_id, "vehicle_id": row.vehicle_id, "driver_id": row.driver_id,
            "scope": scope,
        }  # fmt: skip
        bounds = (
            ("session", row.session_paise, row.session_energy_wh),
            ("day", row.day_paise, None),
            ("month", row.month_paise, None),
        )
        rows += [
            new(period=period, amount_paise=paise, energy_wh=wh, **whose)
            for period, paise, wh in bounds
            if paise is not None or wh is not None
        ]
    new.objects.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("billing", "0041_defend_prices_and_plans")]
    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.DeleteModel(name="ChargingLimit"),
    ]
