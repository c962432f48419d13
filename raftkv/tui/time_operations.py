"""What the keys do to time: freeze the view, step, go from election to election, fork, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from raftkv.tui.data_operations import DataOperations
from raftkv.tui.frame import Mode
from raftkv.tui.model import State
from raftkv.tui.playback.export import SUFFIX, export
from raftkv.tui.staging import Staging
from raftkv.tui.viewing import Viewer, other_speed
from raftkv.tui.widgets.event_log import EventLog
from raftkv.tui.widgets.time_bar import TimeBar


class TimeOperations(DataOperations):
    viewer: Viewer
    staging: Staging | None
    """Of a simulated run."""
    source: str

    def record(self, block: bytes | None) -> None:
        """Write a block of the tape to whoever records, if anybody does."""
        raise NotImplementedError

    @property
    def present(self) -> bool:
        """The time of a simulation passes only while somebody looks."""
        return self.viewer.mode is Mode.SIMULATED

    def action_freeze(self) -> None:
        if self.staging and self.present:
            run = self.staging.simulation
            run.playing = not run.playing
        else:
            self.viewer.toggle()
        self.draw()

    def action_step_back(self) -> None:
        self.viewer.step(-1)
        self.draw()

    def action_step_on(self) -> None:
        if self.staging and self.present:
            self.staging.simulation.step()
        else:
            self.viewer.step(1)
        self.draw()

    def action_election_back(self) -> None:
        self._to_election(-1)

    def action_election_on(self) -> None:
        self._to_election(1)

    def _to_election(self, direction: int) -> None:
        if not self.viewer.election(direction):
            self.notify(f"no {'earlier' if direction < 0 else 'later'} election is known")
        self.draw()

    def action_slower(self) -> None:
        self._change_speed(-1)

    def action_faster(self) -> None:
        self._change_speed(1)

    def _change_speed(self, steps: int) -> None:
        if self.staging:
            run = self.staging.simulation
            run.speed = other_speed(run.speed, steps)
        elif self.viewer.mode is not Mode.REPLAY:
            self.notify(
                "the cluster has its own speed: only a replay or a simulation can be slower or faster"
            )
        else:
            self.viewer.change_speed(steps)
        self.draw()

    def on_time_bar_picked(self, message: TimeBar.Picked) -> None:
        self.viewer.seek(message.time)
        self.draw()

    def on_event_log_picked(self, message: EventLog.Picked) -> None:
        if not self.viewer.go_to(message.line):
            self.notify("that was before anybody looked: how things stood then is not known")
        self.draw()

    def scene(self) -> tuple[State, float]:
        """Of a simulated run what is on the screen: it is played anew up to there."""
        return self.viewer.moment(self.state, self.clock()) if self.staging else super().scene()

    def preparation(self) -> Callable[[], None] | None:
        if self.staging is None or self.present:
            return None
        self.viewer.tape.cut(self.viewer.moment(self.state, self.clock())[1])
        self.viewer.seek(self.viewer.tape.end)
        # The last frame that is kept, all of it: what happened after it is told again.
        self.state = self.shown
        self.viewer.present()
        return self.staging.fork(self.viewer.tape.end)

    def action_export(self) -> None:
        self.record(self.viewer.tape.seal())
        names, blocks = self.viewer.tape.names, self.viewer.tape.blocks()
        origin = self.viewer.origin
        if blocks:
            made: list[str] = []

            def work() -> str:
                made.append(export(Path.cwd(), names, blocks, self.source, origin))
                return f"raftkv replay {made[0]}{SUFFIX}"

            self.act("export", work, lambda: self.notify(f"written here: {made[0]}.html, .md and {SUFFIX}"))
