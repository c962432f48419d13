"""What marks something can be read in every theme, and no two marks that differ in meaning look alike."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from raftkv.tui.theme import READABLE, RECEDING, THEME, contrast, style_variables

OURS = {theme.name: theme for theme in (*BUILTIN_THEMES.values(), THEME)}
FULL = [name for name, theme in OURS.items() if theme.to_color_system().generate()["background"][0] == "#"]
ALIKE = 0.035
"""Squared distance in the unit cube of red, green and blue below which two colours are taken for one."""


def grounds(theme: Theme) -> Color:
    return Color.parse(theme.to_color_system().generate()["background"])


@pytest.mark.parametrize("name", FULL)
def test_every_mark_can_be_read(name: str) -> None:
    ground, found = grounds(OURS[name]), style_variables(OURS[name])
    assert {
        mark for mark, colour in found.items() if contrast(Color.parse(colour), ground) < RECEDING
    } == set()
    told = {mark: colour for mark, colour in found.items() if mark != "st-dim"}
    # By less than a fortieth for a colour that was rounded to what a screen can show.
    weak = {mark for mark, colour in told.items() if contrast(Color.parse(colour), ground) < READABLE * 0.975}
    assert weak == set()


@pytest.mark.parametrize("name", ["raftkv", "textual-dark", "textual-light", "catppuccin-latte", "nord"])
def test_no_term_looks_like_a_fault(name: str) -> None:
    found = {mark: Color.parse(colour).normalized for mark, colour in style_variables(OURS[name]).items()}
    terms = [colour for mark, colour in found.items() if mark.startswith("term-")]
    for term in terms:
        for mark in ("st-bad", "st-warn"):
            assert sum((a - b) ** 2 for a, b in zip(term, found[mark], strict=True)) > ALIKE, (
                name,
                term,
                mark,
            )


def test_our_own_palette_needs_no_help() -> None:
    found = {mark: Color.parse(colour) for mark, colour in style_variables(THEME).items()}
    for mark, colour in (("st-good", THEME.success), ("st-bad", THEME.error), ("st-accent", THEME.primary)):
        assert contrast(found[mark], Color.parse(colour or "")) < 1.01


@pytest.mark.parametrize("name", sorted(set(OURS) - set(FULL)))
def test_the_terminals_own_colours_are_left_to_it(name: str) -> None:
    assert style_variables(OURS[name])["st-dim"].startswith("ansi_")


def test_contrast() -> None:
    black, white = Color.parse("#000000"), Color.parse("#ffffff")
    assert contrast(black, white) == contrast(white, black) == pytest.approx(21)
    assert contrast(white, white) == 1
