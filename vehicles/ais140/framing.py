"""Cuts a stream into packets; imports no Django.

A packet begins with $ and ends with a line end, with the next $, or, from makers who send neither, with the silence
after its `*`. Nothing that was not asked for is kept: what is longer than a packet can be is thrown away.
"""

from vehicles.ais140.packets import MAX_CHARACTERS


class Framer:
    """The unfinished end of one connection's stream: at most one packet."""

    def __init__(self) -> None:
        self._rest = b""
        self.overlong = 0

    @property
    def is_empty(self) -> bool:
        return not self._rest

    @property
    def may_be_whole(self) -> bool:
        """What is left could be a packet without a line end."""
        return b"*" in self._rest

    def feed(self, data: bytes) -> list[str]:
        """The packets that are complete now, in order."""
        lines = (self._rest + data).replace(b"\r", b"\n").replace(b"$", b"\n$").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_CHARACTERS:
            self._rest, self.overlong = b"", self.overlong + 1
        return [self._text(line) for line in lines if line.strip()]

    def flush(self) -> list[str]:
        """What is left, as a packet."""
        rest, self._rest = self._rest, b""
        return [self._text(rest)] if rest.strip() else []

    @staticmethod
    def _text(line: bytes) -> str:
        return line.strip(b" \t\0").decode("latin-1")
