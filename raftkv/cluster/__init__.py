"""Clusters on this machine: ``local`` (folder and ports), ``process`` (one node's process),
``launcher`` (all of them, supervised), ``run_state`` (how others find them), ``discovery``,
``control`` (asking nodes and launcher), ``chaos`` (breaking them), ``live`` (watching them)."""
