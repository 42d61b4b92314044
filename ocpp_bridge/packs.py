"""How the flight recorder keeps frames: some of one charger together, pressed, as one row of the database.

What a charger says a thousand times a day differs in a few digits: twenty of its frames in one row take a sixteenth of
the space that twenty rows take, and a tenth of the database's time. A row's id is that of its first frame; its frames
have even steps from there, so that the empty answer that is kept with its CALL has the next id.
"""

import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from ocpp_bridge import frames

IDS_OF_A_PACK = 1024
MOST_FRAMES = IDS_OF_A_PACK // 2
MOST_CHARACTERS = 256 * 1024
LONGEST_SPAN = timedelta(minutes=10)
PRESSED_FROM_BYTES = 1_000  # below, pressing takes longer than it is worth
_PRESSED = b"\x78"  # how zlib begins, and no list in MessagePack
QUICKEST = 1

IN, OUT = 0, 1


class Kept(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One frame, without secrets, and whether an empty answer to it was given (`latency_ms` on a charger's CALL).

    `at`: seconds since 1970. An array on disk: fields may be added at the end, with a default.
    """

    at: float
    direction: int
    kind: int
    action: str
    message_id: str
    error_code: str
    size_bytes: int
    latency_ms: float | None
    is_cut: bool
    payload: str

    @property
    def has_answer(self) -> bool:
        """Whether this stands for two frames."""
        return self.latency_ms is not None and self.kind == frames.CALL and self.direction == IN

    @property
    def directions(self) -> tuple[int, ...]:
        """Of the frames that this stands for."""
        return (IN, OUT) if self.has_answer else (self.direction,)

    @property
    def ended_at(self) -> float:
        """When the last of its frames passed, in seconds since 1970."""
        return self.at + (self.latency_ms or 0.0) / 1000 if self.has_answer else self.at


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Kept])


def pack(kept: Sequence[Kept]) -> bytes:
    """At most MOST_FRAMES of one charger, in the order in which they passed."""
    data = _encoder.encode(kept)
    return zlib.compress(data, QUICKEST) if len(data) >= PRESSED_FROM_BYTES else data


def unpack(data: bytes) -> list[Kept]:
    return _decoder.decode(zlib.decompress(data) if data[:1] == _PRESSED else data)


def portions(kept: Sequence[Kept]) -> Iterator[Sequence[Kept]]:
    """The frames of a charger in parts that may be packed: bounded in number, length and time."""
    start, characters = 0, 0
    for place, one in enumerate(kept):
        characters += len(one.payload)
        is_long = characters > MOST_CHARACTERS or place - start == MOST_FRAMES
        if place > start and (is_long or one.at - kept[start].at > LONGEST_SPAN.total_seconds()):
            yield kept[start:place]
            start, characters = place, len(one.payload)
    if start < len(kept):
        yield kept[start:]
