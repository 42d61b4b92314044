"""Evidence and settlements at size, each beside a floor of the same run."""
