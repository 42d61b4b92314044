"""What crossed the wire and must not be forgotten."""

from ocpp_bridge.models.calls import AnsweredCall
from ocpp_bridge.models.commands import Command
from ocpp_bridge.models.frames import Frame

__all__ = ["AnsweredCall", "Command", "Frame"]
