import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ocpp_bridge', '0002_frames'),
        ('stations', '0005_station_wide_status_and_named_tariffs'),
    ]

    operations = [
        migrations.CreateModel(
            name='CertificateRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=40)),
                ('request_id', models.BigIntegerField(blank=True, null=True)),
                ('csr', models.TextField(help_text='PEM.')),
                ('csr_hash', models.CharField(max_length=32)),
                ('subject', models.CharField(blank=True, max_length=255)),
                ('key', models.CharField(blank=True, help_text='Kind and size of the public key.', max_length=30)),
                ('state', models.CharField(choices=[('waiting', 'Waits for a signature'), ('refused', 'Refused'), ('signed', 'Signed')], default='waiting', max_length=10)),
                ('reason', models.CharField(blank=True, max_length=200)),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-received_at'],
            },
        ),
        migrations.CreateModel(
            name='ChargerJob',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('firmware', 'Firmware update'), ('log', 'Log upload'), ('publish', 'Firmware published in the local network')], max_length=10)),
                ('request_id', models.BigIntegerField(blank=True, null=True)),
                ('status', models.CharField(max_length=30)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('is_open', models.BooleanField(default=True)),
                ('has_failed', models.BooleanField(default=False)),
                ('steps', models.JSONField(default=list, help_text='[status, instant] in the order received.')),
                ('started_at', models.DateTimeField()),
                ('updated_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='ChargingNeeds',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('evse_number', models.PositiveSmallIntegerField()),
                ('transfer_mode', models.CharField(blank=True, max_length=30)),
                ('departure_at', models.DateTimeField(blank=True, null=True)),
                ('energy_wh', models.BigIntegerField(blank=True, null=True)),
                ('soc_percent', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('capacity_wh', models.BigIntegerField(blank=True, null=True)),
                ('payload', models.JSONField()),
                ('received_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ComponentEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.BigIntegerField()),
                ('trigger', models.CharField(max_length=10)),
                ('component', models.CharField(help_text='With its instance, if it has one.', max_length=110)),
                ('variable', models.CharField(max_length=110)),
                ('evse_number', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('value', models.TextField(blank=True)),
                ('severity', models.PositiveSmallIntegerField(blank=True, help_text='0 danger ... 9 debug (OCPP 2.1).', null=True)),
                ('is_cleared', models.BooleanField(default=False)),
                ('transaction_ref', models.CharField(blank=True, max_length=36)),
                ('tech_code', models.CharField(blank=True, max_length=50)),
                ('tech_info', models.CharField(blank=True, max_length=500)),
                ('at', models.DateTimeField()),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
        migrations.CreateModel(
            name='ExternalLimit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('evse_number', models.PositiveSmallIntegerField(default=0)),
                ('source', models.CharField(max_length=20)),
                ('is_grid_critical', models.BooleanField(blank=True, null=True)),
                ('schedules', models.JSONField(default=list)),
                ('notified_at', models.DateTimeField()),
                ('cleared_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-notified_at'],
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(max_length=40)),
                ('evse_number', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('transaction_ref', models.CharField(blank=True, max_length=36)),
                ('payload', models.JSONField()),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-received_at'],
            },
        ),
        migrations.CreateModel(
            name='OddMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('protocol', models.CharField(max_length=12)),
                ('message_id', models.CharField(max_length=36)),
                ('action', models.CharField(max_length=40)),
                ('payload', models.JSONField()),
                ('payload_hash', models.BinaryField(max_length=16)),
                ('code', models.CharField(max_length=40)),
                ('flaw', models.CharField(max_length=255)),
                ('is_taken', models.BooleanField(help_text='What we needed of it was there; the charger got an ordinary answer.')),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-received_at'],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('NotifyReport', 'Variables'), ('NotifyMonitoringReport', 'Monitors'), ('ReportChargingProfiles', 'Charging profiles'), ('NotifyDisplayMessages', 'Display messages'), ('NotifyCustomerInformation', 'Customer information'), ('ReportDERControl', 'DER controls')], max_length=30)),
                ('request_id', models.BigIntegerField()),
                ('state', models.CharField(choices=[('receiving', 'Being received'), ('complete', 'Complete'), ('incomplete', 'Incomplete')], default='receiving', max_length=10)),
                ('last_seq_no', models.IntegerField(blank=True, help_text='Of the part that said it is the last.', null=True)),
                ('missing', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None)),
                ('started_at', models.DateTimeField()),
                ('updated_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='ReportPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq_no', models.IntegerField()),
                ('payload', models.JSONField()),
                ('payload_hash', models.CharField(max_length=32)),
                ('received_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['seq_no'],
            },
        ),
        migrations.CreateModel(
            name='SecurityEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('type', models.CharField(max_length=50)),
                ('tech_info', models.CharField(blank=True, max_length=255)),
                ('is_critical', models.BooleanField(default=False, help_text='As the OCPP list of security events says.')),
                ('at', models.DateTimeField(help_text="By the charger's clock.")),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
        migrations.CreateModel(
            name='Settlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_ref', models.CharField(blank=True, max_length=36)),
                ('psp_ref', models.CharField(max_length=255)),
                ('status', models.CharField(max_length=10)),
                ('status_info', models.CharField(blank=True, max_length=500)),
                ('amount_paise', models.BigIntegerField()),
                ('receipt_id', models.CharField(blank=True, max_length=50)),
                ('receipt_url', models.CharField(blank=True, max_length=2000)),
                ('vat_number', models.CharField(blank=True, max_length=20)),
                ('settled_at', models.DateTimeField()),
                ('received_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-settled_at'],
            },
        ),
        migrations.CreateModel(
            name='StationCost',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_ref', models.CharField(max_length=36)),
                ('currency', models.CharField(blank=True, max_length=3)),
                ('total_paise', models.BigIntegerField(blank=True, null=True)),
                ('tariff_id', models.CharField(blank=True, max_length=60)),
                ('has_failed', models.BooleanField(default=False)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('details', models.JSONField()),
                ('at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='certificaterequest',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='certificate_requests', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='chargerjob',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='jobs', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='chargingneeds',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='charging_needs', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='componentevent',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='component_events', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='externallimit',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='external_limits', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='notice',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='oddmessage',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='odd_messages', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='report',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='reportpart',
            name='report',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='ocpp_bridge.report'),
        ),
        migrations.AddField(
            model_name='securityevent',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='security_events', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='settlement',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='settlements', to='stations.charger'),
        ),
        migrations.AddField(
            model_name='stationcost',
            name='charger',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='station_costs', to='stations.charger'),
        ),
        migrations.AddConstraint(
            model_name='certificaterequest',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('csr_hash'), name='one_certificate_request_per_csr'),
        ),
        migrations.AddIndex(
            model_name='chargerjob',
            index=models.Index(condition=models.Q(('is_open', True)), fields=['updated_at'], name='open_jobs_by_silence'),
        ),
        migrations.AddConstraint(
            model_name='chargerjob',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('kind'), models.F('request_id'), condition=models.Q(('request_id__isnull', False)), name='one_job_per_request'),
        ),
        migrations.AddConstraint(
            model_name='chargerjob',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('kind'), condition=models.Q(('is_open', True), ('request_id', None)), name='one_open_job_without_a_request'),
        ),
        migrations.AddConstraint(
            model_name='chargingneeds',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('evse_number'), name='the_latest_needs_per_evse'),
        ),
        migrations.AddIndex(
            model_name='componentevent',
            index=models.Index(fields=['received_at'], name='component_events_by_age'),
        ),
        migrations.AddConstraint(
            model_name='componentevent',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('event_id'), models.F('at'), name='one_component_event_per_fact'),
        ),
        migrations.AddConstraint(
            model_name='externallimit',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('evse_number'), models.F('source'), condition=models.Q(('cleared_at', None)), name='one_limit_in_force_per_source'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(fields=['charger', '-received_at'], name='notices_of_a_charger'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(fields=['received_at'], name='notices_by_age'),
        ),
        migrations.AddIndex(
            model_name='oddmessage',
            index=models.Index(fields=['charger', '-received_at'], name='odd_messages_of_a_charger'),
        ),
        migrations.AddIndex(
            model_name='oddmessage',
            index=models.Index(fields=['received_at'], name='odd_messages_by_age'),
        ),
        migrations.AddConstraint(
            model_name='oddmessage',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('payload_hash'), name='one_odd_message_per_payload'),
        ),
        migrations.AddIndex(
            model_name='report',
            index=models.Index(fields=['charger', 'kind', '-started_at'], name='reports_of_a_charger'),
        ),
        migrations.AddIndex(
            model_name='report',
            index=models.Index(condition=models.Q(('state', 'receiving')), fields=['updated_at'], name='reports_being_received'),
        ),
        migrations.AddConstraint(
            model_name='report',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('kind'), models.F('request_id'), condition=models.Q(('state', 'receiving')), name='one_report_received_per_request'),
        ),
        migrations.AddConstraint(
            model_name='reportpart',
            constraint=models.UniqueConstraint(models.F('report'), models.F('seq_no'), name='one_part_per_seq_no'),
        ),
        migrations.AddIndex(
            model_name='securityevent',
            index=models.Index(fields=['charger', '-at'], name='security_events_of_a_charger'),
        ),
        migrations.AddConstraint(
            model_name='securityevent',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('type'), models.F('at'), models.F('tech_info'), name='one_security_event_per_fact'),
        ),
        migrations.AddConstraint(
            model_name='settlement',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('psp_ref'), models.F('status'), name='one_settlement_per_outcome'),
        ),
        migrations.AddConstraint(
            model_name='stationcost',
            constraint=models.UniqueConstraint(models.F('charger'), models.F('transaction_ref'), name='one_station_cost_per_transaction'),
        ),
    ]
