"""Guided scenarios: choose one, read what it does, guess what will happen, see it asserted."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message

from raftkv.errors import RaftkvError
from raftkv.tui.dialogs.choice import ChoiceDialog
from raftkv.tui.event_log import clean
from raftkv.tui.frame import Frame, Mode
from raftkv.tui.pages.page import Page, heading
from raftkv.tui.ports import Lesson, Lessons
from raftkv.tui.view.spans import Line, Span, left
from raftkv.tui.widgets.lines import Lines
from raftkv.tui.widgets.rows import Rows

GUESS_SECONDS = 60.0
"""A question nobody answers is answered by what happens."""
LOOK_SECONDS = 0.1
TOLD_MAX = 200
HINT = "enter plays · esc stops"


class Telling(Message):
    """A word of the narrator: a style and a line."""

    def __init__(self, style: str, text: str) -> None:
        super().__init__()
        self.style = style
        self.text = text


class Question:
    """Asked by the thread that plays, which goes on once it is ``over``."""

    def __init__(self, text: str, choices: tuple[str, ...]) -> None:
        self.text = text
        self.choices = choices
        self.over = threading.Event()
        self.guess: int | None = None

    def answer(self, guess: int | None) -> None:
        self.guess = guess
        self.over.set()


class QuestionDialog(ChoiceDialog):
    """Goes by itself once what it asks about has happened."""

    def __init__(self, question: Question) -> None:
        keys = [(str(number), str(number - 1), text) for number, text in enumerate(question.choices, start=1)]
        # Over the list of scenarios: to guess, one has to see what has been told.
        super().__init__("what will happen?", keys, question.text, aside=True)
        self._question = question

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self._question.over.is_set():
            self.dismiss(None)


class Asking(Message):
    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


class Ended(Message):
    def __init__(self, problem: str | None) -> None:
        super().__init__()
        self.problem = problem


class Teller:
    """The narrator of the thread that plays: hands everything to the page."""

    def __init__(self, page: ScenariosPage, cancelled: threading.Event) -> None:
        self._page = page
        self._cancelled = cancelled

    def say(self, text: str) -> None:
        self._page.post_message(Telling("", text))

    def command(self, text: str) -> None:
        self._page.post_message(Telling("command", f"$ {text}"))

    def checked(self, what: str, found: str) -> None:
        self._page.post_message(Telling("good", f"✓ {what}: {found}" if found else f"✓ {what}"))

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        asked = Question(question, choices)
        self._page.post_message(Asking(asked))
        waited = 0.0
        while not asked.over.wait(LOOK_SECONDS) and waited < GUESS_SECONDS and not self._cancelled.is_set():
            waited += LOOK_SECONDS
        asked.over.set()
        guess = asked.guess
        word = "Right" if guess == right else "The answer" if guess is None else "Not quite"
        text = f"? {question} {word}: {choices[right]}. {why[:1].upper()}{why[1:]}."
        self._page.post_message(Telling("accent", text))


class ScenariosPage(Page):
    def __init__(self, lessons: Lessons | None) -> None:
        super().__init__("scenarios")
        self._lessons = lessons
        self._listed: Sequence[Lesson] = lessons.listed() if lessons else ()
        self._rows = Rows("lessons")
        self._about = Lines(id="lesson")
        self._told: dict[str, list[tuple[str, str]]] = {}
        """What each scenario has told the last time, by its name."""
        self._playing: Lesson | None = None
        self._cancelled = threading.Event()
        self._results: dict[str, bool] = {}
        self._shown: Lesson | None = None
        self._playable = False
        """There is a cluster, and the screen shows it as it is now."""
        self._top: int | None = None
        """The first line of the story that is shown, where that is not its end."""
        self._end, self._room = 0, 1
        """The first line that is shown at its end, and how many lines are."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="lesson-list"):
                yield self._rows
            yield self._about

    def on_mount(self) -> None:
        self._rows.border_title = heading("scenarios")
        self._rows.border_subtitle = HINT

    @property
    def playing(self) -> bool:
        return self._playing is not None

    def fill(self, frame: Frame) -> None:
        width = self._rows.size.width
        self._rows.show_rows(len(self._listed), lambda number: self._row(self._listed[number], width))
        self._playable = bool(self._listed) and frame.times.mode is Mode.LIVE
        if not self._playable:
            text = " scenarios are played on a running cluster: 'raftkv up --nodes 3'"
            self._about.show(((Span(text, "dim"),),))
            return
        chosen = self._chosen
        if chosen is not self._shown:
            self._shown, self._top = chosen, None
        self.retitle(self._about, f"{chosen.title} {chosen.section}")
        self._about.show(self._story(chosen))

    @property
    def _chosen(self) -> Lesson:
        return self._playing or self._listed[self._rows.cursor]

    def _row(self, lesson: Lesson, width: int) -> Line:
        result = self._results.get(lesson.name)
        mark, style = {True: ("✓", "good"), False: ("✗", "bad"), None: (" ", "")}[result]
        if self._playing is lesson:
            mark, style = "▶", "accent"
        return Span(f" {mark} ", style), Span(left(lesson.title, max(0, width - 3)))

    def _story(self, lesson: Lesson) -> tuple[Line, ...]:
        """What it does, and of what it has told as much as there is room for: the end, or what is read."""
        width, height = max(20, self._about.size.width - 2), max(4, self._about.size.height)
        lines: list[Line] = [(Span(f" {text}", "dim"),) for text in textwrap.wrap(lesson.summary, width)]
        lines.append(())
        told: list[Line] = []
        for style, text in self._told.get(lesson.name, ()):
            told += [
                (Span(f" {part}", style),) for part in textwrap.wrap(text, width, subsequent_indent="  ")
            ]
        if not told:
            told = [(Span(" enter plays it on this cluster", "accent"),)]
        self._room = max(1, height - len(lines))
        self._end = max(0, len(told) - self._room)
        if self._top is not None and self._top >= self._end:
            self._top = None
        top = self._end if self._top is None else self._top
        return (*lines, *told[top : top + self._room])

    def turn(self, way: str) -> None:
        if not self._listed:
            return
        here = self._end if self._top is None else self._top
        places = {"page_up": here - self._room, "page_down": here + self._room, "home": 0}
        self._top = max(0, places.get(way, self._end))
        self._about.show(self._story(self._chosen))

    # -- playing

    def move(self, columns: int, rows: int) -> bool:
        del columns
        if rows and not self.playing:
            self._rows.step(rows)
        return bool(rows)

    def choose(self) -> None:
        lessons = self._lessons
        if lessons is None or self.playing or not self._playable:
            return
        lesson = self._listed[self._rows.cursor]
        self._playing, self._told[lesson.name], self._top = lesson, [], None
        self._cancelled = cancelled = threading.Event()
        teller = Teller(self, cancelled)

        def work() -> None:
            problem = None
            try:
                lessons.play(lesson.name, teller, cancelled.is_set)
            except RaftkvError as error:
                problem = str(error)
            self.post_message(Ended(problem))

        self.run_worker(work, thread=True)

    def on_rows_chosen(self) -> None:
        self.choose()

    def stop(self) -> bool:
        """Whether there was anything to stop."""
        self._cancelled.set()
        return self.playing

    def on_telling(self, message: Telling) -> None:
        self._tell(message.style, message.text)

    def _tell(self, style: str, text: str) -> None:
        if self._playing:
            told = self._told[self._playing.name]
            told.append((style, clean(text)))
            del told[:-TOLD_MAX]

    def on_asking(self, message: Asking) -> None:
        question = message.question

        def answered(choice: str | None) -> None:
            question.answer(None if choice is None else int(choice))

        if question.over.is_set():
            return
        if len(self.app.screen_stack) > 1:  # keys that are meant for the dialog there would answer it
            self.set_timer(LOOK_SECONDS, lambda: self.on_asking(message))
        else:
            self.app.push_screen(QuestionDialog(question), answered)

    def on_ended(self, message: Ended) -> None:
        if self._playing is None:
            return
        if message.problem is None:
            self._results[self._playing.name] = True
            self._tell("good", "✓ it came out as it must; everything is healed again")
        elif self._cancelled.is_set():
            self._tell("warn", "stopped; everything is healed again")
        else:
            self._results[self._playing.name] = False
            self._tell("bad", f"✗ {message.problem}")
        self._playing = None
