"""The e-invoice portal: what we ask of it, the real one over HTTP, and a bundled emulator."""
