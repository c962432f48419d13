"""The past: what the dashboard has seen, kept so that any moment of it can be shown again.

``codec`` turns items into bytes, ``tape`` keeps them and finds a moment, ``files`` reads and writes
recordings, ``chronicle`` and ``report`` tell the whole of one on a page. All but ``files`` is pure.
"""
