"""The colours: a quiet night palette of our own, and what the style sheet makes of any theme.

What marks something must be readable on every background, and themes are not made for that: the amber of a
light one is hardly seen as text. So each colour is made darker there, and lighter on a dark ground, as far as
it takes.
"""

from __future__ import annotations

from textual.color import Color
from textual.theme import Theme

THEME = Theme(
    name="raftkv",
    primary="#7aa2f7",
    secondary="#7dcfff",
    accent="#bb9af7",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#c9d1e3",
    background="#11131a",
    surface="#191c26",
    panel="#222634",
    dark=True,
)

READABLE, RECEDING = 4.5, 3.5
"""Contrast to the background, by the measure of WCAG: of what is told, and of what stands back."""
_STEPS = 20
_ROLES = {
    "st-good": "success",
    "st-warn": "warning",
    "st-bad": "error",
    "st-accent": "primary",
    "st-leader": "secondary",
}
TERM_HUES = ("#5fb3d9", "#c58fdb", "#5ab8a8", "#8390ea", "#b9aa8c", "#a587e0")
"""Neighbours differ at a glance, and none is the red, amber or green that says how something stands."""


def style_variables(theme: Theme) -> dict[str, str]:
    """What ``dashboard.tcss`` needs beside Textual's own variables."""
    known = theme.to_color_system().generate()
    hues = {name: known[role] for name, role in _ROLES.items()}
    hues |= {f"term-{number}": hue for number, hue in enumerate(TERM_HUES)}
    if not known["background"].startswith("#"):  # a theme of the terminal's own colours, which only it knows
        return {**hues, "st-dim": "ansi_bright_black"}
    ground, text = Color.parse(known["background"]), Color.parse(known["foreground"])
    marks = {name: _readable(Color.parse(hue), ground, READABLE) for name, hue in hues.items()}
    receding = (ground.blend(text, step / _STEPS) for step in range(_STEPS))
    dim = next((colour for colour in receding if contrast(colour, ground) >= RECEDING), text)
    return {name: colour.hex6 for name, colour in {**marks, "st-dim": dim}.items()}


def _readable(colour: Color, ground: Color, least: float) -> Color:
    """Changed no more than it takes, and its hue kept."""
    away = colour.darken if ground.brightness > 0.5 else colour.lighten
    for step in range(_STEPS):
        if contrast(changed := away(step / _STEPS), ground) >= least:
            return changed
    return ground.get_contrast_text()


def contrast(one: Color, other: Color) -> float:
    """1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = colour.normalized
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
