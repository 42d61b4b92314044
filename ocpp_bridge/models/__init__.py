"""What crossed the wire and must not be forgotten."""

from ocpp_bridge.models.calls import AnsweredCall
from ocpp_bridge.models.certificates import ChargerCertificate
from ocpp_bridge.models.charging import ChargingGoal, ChargingPlan, ChargingSite, HeldProfile
from ocpp_bridge.models.commands import Command
from ocpp_bridge.models.configuration import (
    ChargerConfiguration,
    ConfigurationChange,
    ConfigurationRollout,
    ConfigurationValue,
    DesiredConfiguration,
)
from ocpp_bridge.models.frames import FramePack
from ocpp_bridge.models.jobs import ChargerJob
from ocpp_bridge.models.local_lists import LocalList
from ocpp_bridge.models.money import Settlement, StationCost
from ocpp_bridge.models.nodes import Node
from ocpp_bridge.models.notices import ChargingNeeds, ComponentEvent, ExternalLimit, Notice, OddMessage
from ocpp_bridge.models.reports import Report, ReportPart
from ocpp_bridge.models.security import CertificateRequest, SecurityEvent
from ocpp_bridge.models.uploads import Upload

__all__ = [
    "AnsweredCall",
    "CertificateRequest",
    "ChargerCertificate",
    "ChargerConfiguration",
    "ChargerJob",
    "ChargingGoal",
    "ChargingNeeds",
    "ChargingPlan",
    "ChargingSite",
    "Command",
    "ComponentEvent",
    "ConfigurationChange",
    "ConfigurationRollout",
    "ConfigurationValue",
    "DesiredConfiguration",
    "ExternalLimit",
    "FramePack",
    "HeldProfile",
    "LocalList",
    "Node",
    "Notice",
    "OddMessage",
    "Report",
    "ReportPart",
    "SecurityEvent",
    "Settlement",
    "StationCost",
    "Upload",
]
