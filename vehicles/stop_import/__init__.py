"""Stops from a planner's file."""
