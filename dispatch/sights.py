"""Who looks at what. Browsers that look alike share one `Sight`: what is due to them is found out once, packed once,
and written to all of them in one go. Who cannot keep up goes on alone, and comes back once it can.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from dispatch import wire
from dispatch.boards import Board, Indexes
from dispatch.pictures import Look, Picture

MOST_SHARE = 0.3
"""Of the process's time; where telling would take more, it is told seldomer. To send it takes about as long again."""
LONGEST_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Viewer(Protocol):
    """A browser's end; every method returns at once."""

    @property
    def is_free(self) -> bool:
        """Is all that it was given on its way?"""

    def pause(self, now: float) -> float:
        """Seconds between two frames that it needs; 0 while it keeps up."""

    def take(self, frames: list[wire.Frame], now: float) -> None: ...
    def give_up(self) -> None:
        """What it looks at cannot be told; it has to come again."""


class Sight:
    """A picture, and those who were told all that it knows as told."""

    def __init__(self, picture: Picture, sights: "Sights") -> None:
        self.picture, self.sights = picture, sights
        self.viewers: dict[Viewer, None] = {}
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def mark(self, changed: Mapping[Board, Indexes]) -> None:
        self.picture.mark(changed)
        self.tell_soon()

    def tell_soon(self) -> None:
        """As soon as its pace allows, if anything is due."""
        if self._timer is None and self.picture.is_due:
            wait = max(0.0, self._next_at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._tell)

    def join(self, viewer: Viewer) -> None:
        """One more, who knows nothing yet."""
        self.viewers[viewer] = None
        try:
            self._welcome(viewer)
        except Exception:
            logger.exception("could not show all of %s", self.picture.look)
            viewer.give_up()

    def _welcome(self, viewer: Viewer) -> None:
        frames = self.picture.whole(self._rev)
        if frames is not None:
            viewer.take(frames, time.monotonic())
        elif len(self.viewers) == 1:
            self._tell()
        else:
            self.tell_soon()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _rev(self) -> int:
        return self.sights.revision_of(self.picture.look.organisation_id)

    def _pause(self, now: float) -> float:
        return self.sights.pause_seconds

    def _tell(self) -> None:
        self._timer, now, begun = None, time.monotonic(), time.thread_time()
        self._next_at = next_after(self._next_at, now, self._pause(now))
        try:
            self._tell_viewers(now)
        except Exception:
            logger.exception("could not tell what %s shows", self.picture.look)
            for viewer in self.viewers:
                viewer.give_up()
        self.sights.spent_seconds += time.thread_time() - begun

    def _tell_viewers(self, now: float) -> None:
        for viewer in [one for one in self.viewers if not one.is_free or one.pause(now)]:
            self.sights.set_apart(viewer, self)
        if self.viewers and self.picture.is_due:
            frames = self.picture.frames(self._rev)
            for viewer in self.viewers:
                viewer.take(frames, now)


def next_after(due_at: float, now: float, pause: float) -> float:
    """When the next frame may go out. One that was late delays no other: changes that come just as often as they are
    told would all wait for as long as one ever did.
    """
    return max(due_at, now - pause) + pause


class LoneSight(Sight):
    """Of one who could not keep up. Changes wait, conflated, until it can be told again."""

    def _pause(self, now: float) -> float:
        return max(self.sights.pause_seconds, *(viewer.pause(now) for viewer in self.viewers))

    def _tell_viewers(self, now: float) -> None:
        (viewer,) = self.viewers
        if not viewer.is_free:  # it says so when it is
            return
        is_slow = viewer.pause(now) > 0
        viewer.take(self.picture.frames(self._rev), now)
        if not is_slow:
            self.sights.bring_together(viewer, self)


class Sights:
    """All that the browsers of one process look at. A sight ends with its last viewer."""

    def __init__(self, picture_of: Callable[[Look], Picture], revision_of: Callable[[int], int], hz: float) -> None:
        self._picture_of, self.revision_of = picture_of, revision_of
        self.hz = hz
        self.pause_seconds = 1 / hz
        self.spent_seconds = 0.0
        self._weighed_at = time.monotonic()
        self._shared: dict[Look, Sight] = {}
        self._of: dict[Viewer, Sight] = {}
        self._all: dict[Sight, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def look(self, viewer: Viewer, look: Look) -> None:
        """This is what it looks at from here on; it is told all of it, then what changes."""
        self.leave(viewer)
        if look not in self._shared:
            self._begin(Sight(self._picture_of(look), self))
        self._of[viewer] = self._shared[look]
        self._shared[look].join(viewer)

    def leave(self, viewer: Viewer) -> None:
        if (sight := self._of.pop(viewer, None)) is not None:
            del sight.viewers[viewer]
            if not sight.viewers:
                self._end(sight)

    def freed(self, viewer: Viewer) -> None:
        """Nothing stands in its way any more."""
        if (sight := self._of.get(viewer)) is not None:
            sight.tell_soon()

    def mark(self, changed: Mapping[Board, Indexes]) -> None:
        for sight in self._all:
            sight.mark(changed)

    def begin_anew(self) -> None:
        for sight in self._all:
            sight.picture.begin_anew()
            sight.tell_soon()

    def revision_moved(self, organisation_id: int) -> None:
        for sight in self._all:
            if sight.picture.look.organisation_id == organisation_id:
                sight.picture.revision_moved()
                sight.tell_soon()

    def weigh(self, now: float) -> None:
        """Once in a while: tell as often as asked for, or seldomer where that takes more than its share."""
        round_seconds = self.spent_seconds / max(0.001, now - self._weighed_at) * self.pause_seconds
        self.pause_seconds = max(1 / self.hz, min(LONGEST_PAUSE_SECONDS, round_seconds / MOST_SHARE))
        self.spent_seconds, self._weighed_at = 0.0, now

    # --- called by sights -----------------------------------------------------------------------------------------
    def set_apart(self, viewer: Viewer, sight: Sight) -> None:
        """It knows what the others know, and is told the rest in its own time."""
        lone = LoneSight(sight.picture.fork(), self)
        lone._next_at = sight._next_at  # no sooner than it would have been told there
        self._move(viewer, sight, lone)
        self._all[lone] = None
        lone.tell_soon()

    def bring_together(self, viewer: Viewer, lone: Sight) -> None:
        """It keeps up again: with those who look alike, or as the first of them."""
        shared = self._shared.get(lone.picture.look)
        if shared is None:
            shared = Sight(lone.picture, self)
            shared._next_at = lone._next_at
            self._begin(shared)
            self._move(viewer, lone, shared)
        elif shared.picture.absorb(lone.picture):
            self._move(viewer, lone, shared)
            shared.tell_soon()
        else:
            self._move(viewer, lone, shared)
            shared.join(viewer)

    def _begin(self, sight: Sight) -> None:
        self._shared[sight.picture.look] = sight
        self._all[sight] = None

    def _move(self, viewer: Viewer, before: Sight, after: Sight) -> None:
        del before.viewers[viewer]
        after.viewers[viewer] = None
        self._of[viewer] = after
        if not before.viewers:
            self._end(before)

    def _end(self, sight: Sight) -> None:
        sight.close()
        del self._all[sight]
        if self._shared.get(sight.picture.look) is sight:
            del self._shared[sight.picture.look]
