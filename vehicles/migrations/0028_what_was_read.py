"""Which figures of a model were read at the source: of the four that were called verified, the battery alone."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

MAKER = "Maker's data sheet: "
NOW = "Battery by the maker's data sheet: {rest}; the other figures commonly published, not verified"


def tell(apps, schema_editor):
    VehicleModel = apps.get_model("vehicles", "VehicleModel")
    for model in VehicleModel.objects.filter(figures_source__startswith=MAKER):
        model.verified_figures, model.is_verified = ["battery_wh"], False
        model.figures_source = NOW.format(rest=model.figures_source.removeprefix(MAKER))[:200]
        model.save()


class Migration(migrations.Migration):
    dependencies = [("vehicles", "0027_stops_visited")]
    operations = [
        migrations.AddField(
            "vehiclemodel",
            "verified_figures",
            ArrayField(
                models.CharField(max_length=32),
                blank=True,
                default=list,
                help_text="Names of the figures that were read at the source.",
                size=None,
            ),
        ),
        migrations.AlterField(
            "vehiclemodel",
            "is_verified",
            models.BooleanField(default=False, editable=False, help_text="Every figure was read at the source."),
        ),
        migrations.RunPython(tell, migrations.RunPython.noop),
    ]
