from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_webhook_scopes")]
    operations = [
        migrations.CreateModel(
            name="IdempotentWrite",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("fingerprint", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("headers", models.JSONField(default=dict)),
                ("body_encrypted", models.TextField()),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
        ),
    ]
