"""Subscribers: one thought each, no logic."""
