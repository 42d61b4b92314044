"""OCPP 2.x variables by one text: `Component.Variable`, or the 1.6 configuration key that means the same."""

import re
from typing import Any

from ocpp_bridge.saying import NotSupported

# OCPP 2.0.1 part 2 appendix "referenced components and variables": what the 1.6 key became.
SAME_AS = {
    "AllowOfflineTxForUnknownId": "AuthCtrlr.OfflineTxForUnknownIdEnabled",
    "AuthorizationCacheEnabled": "AuthCacheCtrlr.Enabled",
    "AuthorizationKey": "SecurityCtrlr.BasicAuthPassword",
    "AuthorizeRemoteTxRequests": "AuthCtrlr.AuthorizeRemoteStart",
    "ClockAlignedDataInterval": "AlignedDataCtrlr.Interval",
    "ConnectionTimeOut": "TxCtrlr.EVConnectionTimeOut",
    "HeartbeatInterval": "OCPPCommCtrlr.HeartbeatInterval",
    "LocalAuthListEnabled": "LocalAuthListCtrlr.Enabled",
    "LocalAuthorizeOffline": "AuthCtrlr.LocalAuthorizeOffline",
    "LocalPreAuthorize": "AuthCtrlr.LocalPreAuthorize",
    "MeterValueSampleInterval": "SampledDataCtrlr.TxUpdatedInterval",
    "MeterValuesSampledData": "SampledDataCtrlr.TxUpdatedMeasurands",
    "MeterValuesAlignedData": "AlignedDataCtrlr.Measurands",
    "StopTxnSampledData": "SampledDataCtrlr.TxEndedMeasurands",
    "StopTransactionOnEVSideDisconnect": "TxCtrlr.StopTxOnEVSideDisconnect",
    "StopTransactionOnInvalidId": "TxCtrlr.StopTxOnInvalidId",
    "TransactionMessageAttempts": "OCPPCommCtrlr.MessageAttempts[TransactionEvent]",
    "TransactionMessageRetryInterval": "OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]",
    "UnlockConnectorOnEVSideDisconnect": "OCPPCommCtrlr.UnlockOnEVSideDisconnect",
    "WebSocketPingInterval": "OCPPCommCtrlr.WebSocketPingInterval",
}
_KEY = re.compile(r"(?P<component>[^.\[\]]+)(\[(?P<ci>[^\]]+)\])?\.(?P<variable>[^.\[\]]+)(\[(?P<vi>[^\]]+)\])?")


def variable_of(key: str) -> dict[str, Any]:
    """`Component[instance].Variable[instance]` or a known 1.6 key as a neutral variable; raises NotSupported."""
    match = _KEY.fullmatch(SAME_AS.get(key, key))
    if match is None:
        raise NotSupported(f"configuration key {key}; write Component.Variable")
    named = {
        "component": match["component"],
        "component_instance": match["ci"],
        "variable": match["variable"],
        "variable_instance": match["vi"],
    }
    return {name: value for name, value in named.items() if value}
