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


def move_back(apps, schema_editor):
    """What the old table could say: hard limits of a session, day or month for a fleet, a vehicle or a driver."""
    old, new = apps.get_model("billing", "ChargingLimit"), apps.get_model("billing", "SpendLimit")
    columns = {"session": "session_paise", "day": "day_paise", "month": "month_paise"}
    rows = {}
    known = new.objects.filter(scope__in=["organisation", "vehicle", "driver"], period__in=list(columns), is_hard=True)
    for row in known.iterator():
        key = (row.organisation_id, row.vehicle_id, row.driver_id)
        limit = rows.setdefault(
            key, old(organisation_id=row.organisation_id, vehicle_id=row.vehicle_id, driver_id=row.driver_id)
        )
        setattr(limit, columns[row.period], row.amount_paise)
        if row.period == "session":
            limit.session_energy_wh = row.energy_wh
    old.objects.bulk_create(rows.values())
    known.delete()


class Migration(migrations.Migration):
    dependencies = [("billing", "0041_defend_prices_and_plans")]
    operations = [
        migrations.RunPython(move, move_back),
        migrations.DeleteModel(name="ChargingLimit"),
    ]
