"""Pings from a fleet's own MQTT broker."""
