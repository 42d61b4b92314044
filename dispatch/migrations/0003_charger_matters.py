from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('dispatch', '0002_alert_revisions'),
    ]

    operations = [
        migrations.AlterField(
            model_name='alert',
            name='kind',
            field=models.CharField(choices=[('will_not_reach', 'Will not reach'), ('rerouted', 'Re-routed'), ('no_charger', 'No charger in reach'), ('reservation_lost', 'Reserved bay is blocked'), ('charger_silent', 'Charger stopped reporting'), ('money', 'Session held back'), ('network_down', 'Network does not answer'), ('charger_matter', 'Charger needs attention')], max_length=20),
        ),
    ]
