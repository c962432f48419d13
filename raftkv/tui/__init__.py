"""The dashboard: a pure reducer (``model``) under widgets that only draw it. What it knows comes
through a ``Feed``, what it does goes through ``Actions`` (``ports``); both are given to it."""
