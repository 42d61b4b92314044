"""Vehicles, plugs and strangers on a virtual clock: what a rule of choosing costs. Pure."""
