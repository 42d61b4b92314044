"""Networks: pushes, streams, syncs, duplicates and big reads."""
