"""The dispatcher's screen: frames, first sight, telemetry to pixel, a thousand browsers, bytes."""
