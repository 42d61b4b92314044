"""An arrival is shown at the stop it was promised for; plugs that could not be started are reported."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("dispatch", "0033_windows_of_plans"),
        ("vehicles", "0020_tokens_changed_since"),
    ]

    operations = [
        migrations.AddField(
            model_name="driverlink",
            name="stop",
            field=models.ForeignKey(
                blank=True,
                help_text="Of an arrival: where somebody waits. Empty: at the plug.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="vehicles.stop",
            ),
        ),
        migrations.RemoveConstraint(model_name="driverlink", name="one_driver_link_per_plan_and_kind"),
        migrations.AddConstraint(
            model_name="driverlink",
            constraint=models.UniqueConstraint(
                condition=models.Q(("revoked_at", None)),
                fields=("plan", "kind", "stop"),
                name="one_driver_link_per_plan_kind_and_stop",
                nulls_distinct=False,
            ),
        ),
        migrations.AlterField(
            model_name="plugreport",
            name="kind",
            field=models.CharField(
                choices=[("broken", "Broken"), ("blocked", "Blocked"), ("refused", "Could not be started")],
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="learnedcurve", name="is_dc", field=models.BooleanField(default=True, db_default=True)
        ),
        migrations.RemoveConstraint(model_name="learnedcurve", name="one_curve_per_model_and_evse"),
        migrations.AddConstraint(
            model_name="learnedcurve",
            constraint=models.UniqueConstraint(
                models.F("vehicle_model"),
                models.F("evse"),
                models.F("is_dc"),
                name="one_curve_per_model_evse_and_current",
            ),
        ),
    ]
