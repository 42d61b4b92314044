"""Bills that finance uploads, tried first."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0020_idempotent_writes'),
        ('billing', '0047_what_can_be_given_back'),
        ('stations', '0032_progress_of_polls'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BillUpload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.CharField(help_text="The network's own number of the bill.", max_length=60)),
                ('starts_on', models.DateField()),
                ('ends_on', models.DateField(help_text='The last day.')),
                ('file_name', models.CharField(max_length=120)),
                ('content', models.BinaryField(default=bytes)),
                ('layout', models.JSONField(default=dict, help_text='Which column means what.')),
                ('is_trial', models.BooleanField(default=True)),
                ('skips_problems', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('waiting', 'Waits'), ('tried', 'Tried, nothing kept'), ('taken', 'Taken'), ('refused', 'Refused')], default='waiting', max_length=8)),
                ('lines', models.PositiveIntegerField(default=0)),
                ('total_paise', models.BigIntegerField(default=0)),
                ('outcomes', models.JSONField(blank=True, default=dict, help_text='{outcome: how many}')),
                ('problems', models.JSONField(blank=True, default=list, help_text='[line, why]')),
                ('report', models.JSONField(blank=True, default=list, help_text='The first rows, what differs before what agrees.')),
                ('error', models.CharField(blank=True, max_length=500)),
                ('uploaded_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('bill', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='billing.networkbill')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bill_uploads', to='accounts.organisation')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='stations.source')),
                ('uploaded_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
    ]
