import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0020_idempotent_writes'),
        ('dispatch', '0036_saved_views'),
    ]

    operations = [
        migrations.CreateModel(
            name='SampleRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('vehicle', 'Vehicle'), ('driver', 'Driver'), ('source', 'Source')], max_length=8)),
                ('object_id', models.BigIntegerField()),
                ('told_since', models.DateTimeField(default=django.utils.timezone.now, help_text='They report from then on, for a day.')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.organisation')),
            ],
            options={
                'constraints': [models.UniqueConstraint(models.F('kind'), models.F('object_id'), name='one_sample_row_per_row')],
            },
        ),
    ]
