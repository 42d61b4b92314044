import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('stations', '0004_token_rotation'),
    ]

    operations = [
        migrations.AddField(
            model_name='charger',
            name='station_status_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='connector',
            name='tariff_ids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=36), blank=True, default=list, editable=False, help_text='As the source names them; a tariff may arrive after the connector.', size=None),
        ),
        migrations.AlterField(
            model_name='cpocommand',
            name='state',
            field=models.CharField(choices=[('sent', 'Sent'), ('cpo_accepted', 'Taken by the CPO'), ('accepted', 'Accepted by the charger'), ('rejected', 'Rejected'), ('failed', 'Failed'), ('timed_out', 'No result in time'), ('cancelled', 'Taken back by the CPO')], default='sent', max_length=14),
        ),
    ]
