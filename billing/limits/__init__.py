"""Spending limits: who may spend how much in which period, what is reserved and spent of it."""
