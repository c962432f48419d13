"""The colours: a quiet night palette, and six for terms that also work on the light themes."""

from __future__ import annotations

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

TERM_VARIABLES = {
    "term-0": "#5fb3d9",
    "term-1": "#86b85a",
    "term-2": "#d19a4b",
    "term-3": "#a587e0",
    "term-4": "#4fb3a3",
    "term-5": "#dd6f86",
}
"""Defaults, so that every theme of the palette has them."""
