"""Ranges of keys: half open, ``start <= key < end``; an empty ``end`` means "to the last key"."""


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with ``prefix``; b"" where there is none.

    >>> prefix_end(b"ab"), prefix_end(b"a\\xff"), prefix_end(b"\\xff")
    (b'ac', b'b', b'')
    """
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b""
