"""What a fleet pays and why: negotiated rates, subscriptions, public tariffs; templates and ceilings for India."""
