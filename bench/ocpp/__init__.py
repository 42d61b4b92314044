"""The OCPP endpoint, measured: one command, every figure beside a floor of the same run."""
