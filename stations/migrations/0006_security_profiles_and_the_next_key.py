from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('stations', '0005_station_wide_status_and_named_tariffs'),
    ]

    operations = [
        migrations.AddField(
            model_name='charger',
            name='min_security_profile',
            field=models.PositiveSmallIntegerField(choices=[(0, 'No key'), (1, 'Key'), (2, 'Key over TLS'), (3, 'Client certificate')], default=0, help_text='It only ever rises.'),
        ),
        migrations.AddField(
            model_name='charger',
            name='next_auth_key_hash',
            field=models.CharField(blank=True, help_text='HMAC of the key to come; its first use retires the one before.', max_length=64),
        ),
        migrations.AddField(
            model_name='charger',
            name='security_profile',
            field=models.PositiveSmallIntegerField(blank=True, choices=[(0, 'No key'), (1, 'Key'), (2, 'Key over TLS'), (3, 'Client certificate')], editable=False, help_text='Of its last socket.', null=True),
        ),
    ]
