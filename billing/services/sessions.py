"""A charging session from plug-in to stop: one door for every OCPP version, whatever arrives in whatever order."""

from billing.services.ending import EndedSession, end_session, find_running, find_stopped
from billing.services.starting import StartedSession, note_message, show_flow, start_session

__all__ = [
    "EndedSession",
    "StartedSession",
    "end_session",
    "find_running",
    "find_stopped",
    "note_message",
    "show_flow",
    "start_session",
]
