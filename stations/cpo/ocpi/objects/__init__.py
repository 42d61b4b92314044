"""OCPI objects as tolerant readers, near 2.3.0: unknown fields and enum values survive, one bad object is one error."""
