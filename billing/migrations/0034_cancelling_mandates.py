from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0033_defend_payments")]
    operations = [
        migrations.AddField(
            model_name="mandate",
            name="cancel_asked_at",
            field=models.DateTimeField(blank=True, help_text="No debit is begun after this.", null=True),
        ),
    ]
