"""Widgets that draw what ``view`` made, one a file. None of them knows the state."""
