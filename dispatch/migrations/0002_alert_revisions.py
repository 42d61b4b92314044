"""One sequence for every change of any alert: what browsers resume from."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0001_initial")]
    operations = [
        migrations.AddField("alert", "opened_revision", models.BigIntegerField(default=0)),
        migrations.RunSQL("CREATE SEQUENCE dispatch_alert_revision", "DROP SEQUENCE dispatch_alert_revision"),
    ]
