import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ocpp_bridge', '0008_smart_charging'),
        ('stations', '0007_power_of_a_charger'),
    ]

    operations = [
        migrations.RenameModel(old_name='ChargingLimit', new_name='HeldProfile'),
        migrations.AlterField(
            model_name='heldprofile',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='held_profiles', to='stations.charger'),
        ),
    ]
