"""What can be set on a simulated charger: one table, read as 1.6 configuration keys or as 2.x variables."""

from dataclasses import dataclass, field
from typing import Any

READ_ONLY, SECRET = "ReadOnly", "WriteOnly"


@dataclass
class Entry:
    """`component` and `variable` are the 2.x names; `key` is the 1.6 name, "" when that version has none."""

    key: str
    component: str
    variable: str
    value: str
    access: str = "ReadWrite"
    needs_reboot: bool = False


def _entries() -> list[Entry]:
    return [
        Entry("HeartbeatInterval", "OCPPCommCtrlr", "HeartbeatInterval", "300"),
        Entry("WebSocketPingInterval", "OCPPCommCtrlr", "WebSocketPingInterval", "60"),
        Entry("TransactionMessageAttempts", "OCPPCommCtrlr", "MessageAttempts", "4"),
        Entry("TransactionMessageRetryInterval", "OCPPCommCtrlr", "MessageAttemptInterval", "1"),
        Entry("ConnectionTimeOut", "TxCtrlr", "EVConnectionTimeOut", "120"),
        Entry("StopTransactionOnInvalidId", "TxCtrlr", "StopTxOnInvalidId", "true"),
        Entry("StopTransactionOnEVSideDisconnect", "TxCtrlr", "StopTxOnEVSideDisconnect", "true"),
        Entry("MeterValueSampleInterval", "SampledDataCtrlr", "TxUpdatedInterval", "5"),
        Entry("MeterValuesSampledData", "SampledDataCtrlr", "TxUpdatedMeasurands",
              "Energy.Active.Import.Register,Power.Active.Import,SoC"),
        Entry("StopTxnSampledData", "SampledDataCtrlr", "TxEndedMeasurands", "Energy.Active.Import.Register"),
        Entry("ClockAlignedDataInterval", "AlignedDataCtrlr", "Interval", "0"),
        Entry("LocalAuthListEnabled", "LocalAuthListCtrlr", "Enabled", "true"),
        Entry("LocalAuthListMaxLength", "LocalAuthListCtrlr", "Entries", "500", READ_ONLY),
        Entry("SendLocalListMaxLength", "LocalAuthListCtrlr", "ItemsPerMessage", "100", READ_ONLY),
        Entry("LocalAuthorizeOffline", "AuthCtrlr", "LocalAuthorizeOffline", "true"),
        Entry("LocalPreAuthorize", "AuthCtrlr", "LocalPreAuthorize", "false"),
        Entry("AllowOfflineTxForUnknownId", "AuthCtrlr", "OfflineTxForUnknownIdEnabled", "true"),
        Entry("AuthorizeRemoteTxRequests", "AuthCtrlr", "AuthorizeRemoteStart", "false"),
        Entry("ReserveConnectorZeroSupported", "ReservationCtrlr", "NonEvseSpecific", "false", READ_ONLY),
        Entry("ChargeProfileMaxStackLevel", "SmartChargingCtrlr", "ProfileStackLevel", "8", READ_ONLY),
        Entry("ChargingScheduleAllowedChargingRateUnit", "SmartChargingCtrlr", "RateUnit", "Current,Power", READ_ONLY),
        Entry("ChargingScheduleMaxPeriods", "SmartChargingCtrlr", "PeriodsPerSchedule", "24", READ_ONLY),
        Entry("MaxChargingProfilesInstalled", "SmartChargingCtrlr", "Entries", "20", READ_ONLY),
        Entry("SupportedFeatureProfiles", "", "",
              "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger", READ_ONLY),
        Entry("NumberOfConnectors", "", "", "1", READ_ONLY),
        Entry("AuthorizationKey", "SecurityCtrlr", "BasicAuthPassword", "", SECRET),
        Entry("SecurityProfile", "SecurityCtrlr", "SecurityProfile", "1", READ_ONLY, needs_reboot=True),
    ]  # fmt: skip


@dataclass
class Configuration:
    """Answers in the words of the specification: OCPP 1.6 sections 5.3 and 5.8, 2.0.1 part 2 B05-B07."""

    entries: list[Entry] = field(default_factory=_entries)

    def value(self, key: str) -> str:
        return next(entry.value for entry in self.entries if entry.key == key)

    def find(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def find_variable(self, component: str, variable: str) -> Entry | None:
        named = (component.lower(), variable.lower())
        return next(
            (one for one in self.entries if one.component and (one.component.lower(), one.variable.lower()) == named),
            None,
        )

    def get(self, keys: list[str], *, are_numbers: bool = False) -> dict[str, Any]:
        """The answer to GetConfiguration; all keys when none is named."""
        shown = [entry for entry in self.entries if entry.key and (not keys or entry.key in keys)]
        rows = []
        for entry in shown:
            row: dict[str, Any] = {"key": entry.key, "readonly": entry.access == READ_ONLY}
            if entry.access != SECRET:
                row["value"] = int(entry.value) if are_numbers and entry.value.isdigit() else entry.value
            rows.append(row)
        known = {entry.key for entry in self.entries}
        unknown = [key for key in keys if key not in known]
        return {"configurationKey": rows, **({"unknownKey": unknown} if unknown else {})}

    def change(self, entry: Entry | None, value: str) -> str:
        """Accepted, Rejected, RebootRequired or (for what does not exist) NotSupported."""
        if entry is None:
            return "NotSupported"
        if entry.access == READ_ONLY or (entry.value.isdigit() and not value.isdigit()):
            return "Rejected"
        entry.value = value
        return "RebootRequired" if entry.needs_reboot else "Accepted"

    def get_variables(self, wanted: list[dict[str, Any]]) -> dict[str, Any]:
        rows = []
        for one in wanted:
            entry = self.find_variable(one["component"]["name"], one["variable"]["name"])
            row = {"component": one["component"], "variable": one["variable"], "attributeStatus": "Accepted"}
            if entry is None:
                row["attributeStatus"] = "UnknownVariable"
            elif entry.access == SECRET:
                row["attributeStatus"] = "Rejected"
            else:
                row["attributeValue"] = entry.value
            rows.append(row)
        return {"getVariableResult": rows}

    def report(self) -> list[dict[str, Any]]:
        """Every variable as a reportData element of NotifyReport."""
        rows = []
        for entry in (one for one in self.entries if one.component):
            attribute: dict[str, Any] = {"mutability": entry.access}
            if entry.access != SECRET:
                attribute["value"] = entry.value
            rows.append({
                "component": {"name": entry.component},
                "variable": {"name": entry.variable},
                "variableAttribute": [attribute],
                "variableCharacteristics": {
                    "dataType": "integer" if entry.value.isdigit() else "string", "supportsMonitoring": False,
                },
            })  # fmt: skip
        return rows
