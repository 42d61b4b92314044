"""Commands of every version: states, sessions that follow, one key per tenant; and the nodes that own sockets."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

STRIP_TENANT = """
UPDATE ocpp_bridge_command SET idempotency_key = substr(idempotency_key, length(organisation_id::text) + 2)
WHERE idempotency_key LIKE organisation_id::text || ':%'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_audit_is_append_only"),
        ("billing", "0006_authorisations"),
        ("ocpp_bridge", "0003_what_chargers_tell"),
        ("stations", "0006_security_profiles_and_the_next_key"),
    ]

    operations = [
        migrations.CreateModel(
            name="Node",
            fields=[
                ("name", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("sockets", models.PositiveIntegerField(default=0)),
                ("is_draining", models.BooleanField(default=False)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.AddField(
            model_name="command",
            name="answer_due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="command",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=0, help_text="How often it went on the wire."),
        ),
        migrations.AddField(
            model_name="command",
            name="node",
            field=models.CharField(blank=True, help_text="Realtime process that sent it.", max_length=80),
        ),
        migrations.AddField(
            model_name="command",
            name="protocol",
            field=models.CharField(blank=True, help_text="The OCPP version it was said in.", max_length=12),
        ),
        migrations.AddField(
            model_name="command",
            name="session",
            field=models.ForeignKey(
                blank=True,
                help_text="The session that followed a start.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="billing.chargingsession",
            ),
        ),
        migrations.AddField(
            model_name="command",
            name="session_due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="command",
            name="wire_action",
            field=models.CharField(blank=True, help_text="The message it was said with.", max_length=40),
        ),
        migrations.AlterField(
            model_name="command",
            name="action",
            field=models.CharField(
                choices=[
                    ("RemoteStart", "Start charging"),
                    ("RemoteStop", "Stop charging"),
                    ("ReserveNow", "Reserve"),
                    ("CancelReservation", "Cancel reservation"),
                    ("TriggerMessage", "Ask for a message"),
                    ("Reset", "Restart"),
                    ("ChangeAvailability", "Change availability"),
                    ("UnlockConnector", "Unlock connector"),
                    ("ClearCache", "Clear token cache"),
                    ("GetConfiguration", "Read configuration"),
                    ("ChangeConfiguration", "Change configuration"),
                    ("GetVariables", "Read variables"),
                    ("SetVariables", "Set variables"),
                    ("GetBaseReport", "Ask for a base report"),
                    ("GetReport", "Ask for a report"),
                    ("SendLocalList", "Send local list"),
                    ("GetLocalListVersion", "Read local list version"),
                    ("SetChargingProfile", "Set charging profile"),
                    ("ClearChargingProfile", "Clear charging profile"),
                    ("GetCompositeSchedule", "Read composite schedule"),
                    ("GetChargingProfiles", "Ask for charging profiles"),
                    ("UpdateFirmware", "Update firmware"),
                    ("SignedUpdateFirmware", "Update firmware (signed)"),
                    ("GetDiagnostics", "Upload diagnostics"),
                    ("GetLog", "Upload log"),
                    ("InstallCertificate", "Install certificate"),
                    ("DeleteCertificate", "Delete certificate"),
                    ("GetInstalledCertificateIds", "List certificates"),
                    ("CertificateSigned", "Hand over signed certificate"),
                    ("DataTransfer", "Vendor message"),
                    ("GetTransactionStatus", "Read transaction status"),
                    ("CostUpdated", "Show running cost"),
                    ("SetDisplayMessage", "Show message"),
                    ("ClearDisplayMessage", "Clear message"),
                    ("GetDisplayMessages", "Ask for messages shown"),
                    ("GetMonitoringReport", "Ask for monitoring report"),
                    ("SetMonitoringBase", "Set monitoring base"),
                    ("SetMonitoringLevel", "Set monitoring level"),
                    ("ClearVariableMonitoring", "Clear monitors"),
                    ("SetDefaultTariff", "Set default tariff"),
                    ("GetTariffs", "Read tariffs"),
                    ("ClearTariffs", "Clear tariffs"),
                ],
                max_length=30,
            ),
        ),
        migrations.AlterField(
            model_name="command",
            name="deadline_at",
            field=models.DateTimeField(help_text="Not sent later than this."),
        ),
        migrations.AlterField(
            model_name="command",
            name="idempotency_key",
            field=models.CharField(max_length=80),
        ),
        migrations.AlterField(
            model_name="command",
            name="state",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("sent", "Sent"),
                    ("accepted", "Accepted"),
                    ("rejected", "Rejected"),
                    ("timed_out", "No answer"),
                    ("expired", "Charger was not there in time"),
                    ("failed", "Failed"),
                    ("no_session", "Accepted, but no session began"),
                    ("cancelled", "Taken back"),
                ],
                default="queued",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="command",
            index=models.Index(fields=["charger", "-created_at"], name="commands_of_a_charger"),
        ),
        migrations.AddIndex(
            model_name="command",
            index=models.Index(
                condition=models.Q(("session", None), ("session_due_at__isnull", False), ("state", "accepted")),
                fields=["session_due_at"],
                name="starts_awaiting_a_session",
            ),
        ),
        migrations.RunSQL(STRIP_TENANT, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.UniqueConstraint(fields=("organisation", "idempotency_key"), name="one_command_per_key"),
        ),
    ]
