"""Payment gateways: the protocol, Razorpay through its SDK, and an emulator of it for the demo and the tests."""
