"""Payments: from what we want, over what the gateway says, to what is in the wallet and in the bank."""
