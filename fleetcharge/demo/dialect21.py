"""OCPP 2.1 as a charging station speaks it: 2.0.1, and what a session costs and how it is run."""

from datetime import datetime
from typing import Any

from fleetcharge.demo.bays import Bay, Visit
from fleetcharge.demo.calls import Said
from fleetcharge.demo.dialect201 import ORDERS, Dialect201, kind


class Dialect21(Dialect201):
    subprotocol = "ocpp2.1"
    orders = ORDERS | {
        "SetDefaultTariff": kind("accept"),
        "ChangeTransactionTariff": kind("accept"),
        "GetTariffs": kind("get_tariffs"),
        "ClearTariffs": kind("clear_tariffs"),
        "NotifyAllowedEnergyTransfer": kind("accept"),
    }

    def start(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        return _as_21(super().start(bay, visit, at))

    def meter(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        return _as_21(super().meter(bay, visit, at))

    def stop(self, bay: Bay, visit: Visit, at: datetime) -> Said:
        return _as_21(super().stop(bay, visit, at))


def _as_21(said: Said) -> Said:
    action, payload = said
    info: dict[str, Any] = payload["transactionInfo"]
    info["operationMode"] = "ChargingOnly"
    return action, payload
