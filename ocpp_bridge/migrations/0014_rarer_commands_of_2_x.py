"""Monitors, network profiles, firmware for a site, a customer's data, another tariff while charging (OCPP 2.x)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ocpp_bridge", "0013_answers_on_the_row_of_their_call"),
    ]

    operations = [
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
                    ("SetVariableMonitoring", "Set monitors"),
                    ("SetNetworkProfile", "Set network profile"),
                    ("PublishFirmware", "Publish firmware at a site"),
                    ("UnpublishFirmware", "Take published firmware back"),
                    ("CustomerInformation", "Ask for or delete a customer's data"),
                    ("ChangeTransactionTariff", "Change the tariff of a session"),
                ],
                max_length=30,
            ),
        ),
    ]
