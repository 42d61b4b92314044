"""Work that must happen, as rows: claimed with SKIP LOCKED, leased, counted, dead in plain sight. Celery only wakes."""
