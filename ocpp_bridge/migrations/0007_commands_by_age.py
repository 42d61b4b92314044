from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_audit_is_append_only"),
        ("billing", "0006_authorisations"),
        ("ocpp_bridge", "0006_local_lists"),
        ("stations", "0006_security_profiles_and_the_next_key"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="command",
            index=models.Index(fields=["created_at"], name="commands_by_age"),
        ),
    ]
