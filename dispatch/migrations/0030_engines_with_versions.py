from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0029_forecasts")]

    operations = [
        migrations.AlterField(
            model_name="chargeplan",
            name="engine",
            field=models.CharField(blank=True, help_text="Whose distances it rests on, with versions.", max_length=120),
        ),
    ]
