"""The public live status stream."""
