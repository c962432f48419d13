"""Deterministic simulation of whole clusters.

``schedule`` (virtual time), ``network`` and ``links``, ``disk`` and ``machine`` (a node's surroundings),
``clients``, ``scripts`` (recipes, played here), ``tenants`` (watchers and lock holders), ``world`` (all of it
together), ``twin`` (a second, obvious state machine), ``watch`` (what must hold), ``swarm`` (what a seed
draws), ``nemesis`` and ``operator`` (what breaks, and who changes things), ``run`` (a seed from beginning to
end), ``passing`` (how it gets there), ``trace`` and ``report``; ``theatre``, ``stagehand`` and ``lookups`` (a
seed that is watched, changed and looked into by hand).

Theory of operation. Nothing here knows a clock, a thread, a socket or a process: all time is
``Schedule.now``, all chance comes from ``random.Random(f"{seed}/…")``, one for each subsystem, so
that a change in one leaves the draws of the others alone. A seed therefore is a whole history: the
same code runs it to the same trace digest again, and a failing seed is a failing test.
"""
