"""A model has a battery and an appetite: rows without one get a cautious figure of their class, and say so."""

from django.db import migrations, models

# Of each class the smallest usual battery and the largest usual appetite: too little range strands nobody.
CAUTIOUS = {
    "2W": (1_500, 40),
    "3W": (4_600, 90),
    "4W": (15_000, 180),
    "LCV": (13_000, 330),
    "BUS": (138_000, 1_500),
    "TRUCK": (230_000, 1_800),
}
NOTE = "Was 0, a cautious figure of its class is assumed. "


def fill(apps, schema_editor):
    VehicleModel = apps.get_model("vehicles", "VehicleModel")
    for model in VehicleModel.objects.filter(models.Q(battery_wh__lt=1) | models.Q(consumption_wh_per_km__lt=1)):
        battery_wh, wh_per_km = CAUTIOUS.get(model.vehicle_class, CAUTIOUS["LCV"])
        model.battery_wh = model.battery_wh or battery_wh
        model.consumption_wh_per_km = model.consumption_wh_per_km or wh_per_km
        model.is_verified, model.figures_source = False, (NOTE + model.figures_source)[:200]
        model.save()


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0025_raw_packets")]
    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddConstraint(
            "vehiclemodel",
            models.CheckConstraint(
                condition=models.Q(battery_wh__gte=1),
                name="a_battery_holds_something",
                violation_error_message="A battery holds at least 1 Wh.",
            ),
        ),
        migrations.AddConstraint(
            "vehiclemodel",
            models.CheckConstraint(
                condition=models.Q(consumption_wh_per_km__gte=1),
                name="driving_takes_something",
                violation_error_message="Driving takes at least 1 Wh per km.",
            ),
        ),
    ]
