"""What the engines say when a person has to act."""


class EngineError(Exception):
    """A message for a person: what is wrong and what to do; shown without a traceback."""
