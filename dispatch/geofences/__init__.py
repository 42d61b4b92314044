"""The page where a dispatcher sees and draws geofences."""
