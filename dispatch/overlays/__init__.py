"""What the map draws over stations and vehicles: places promised, and sessions that were paid for elsewhere."""
