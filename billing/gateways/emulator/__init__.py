"""A payment gateway of our own that Razorpay's SDK talks to: the default in the demo and in tests. Knows no Django."""
