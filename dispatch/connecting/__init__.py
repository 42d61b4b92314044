"""The pages that connect a vehicle: its id and code for the app, what its sender does wrong, and unknown devices."""
