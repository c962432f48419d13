"""Bytes to dataclasses and back: ``peer`` (node to node), ``client`` (client to node), ``control``
(operator to node) and ``status`` (node to whoever watches).

Every frame is one MessagePack array that begins with its protocol's version; size is checked
before anything is decoded. Decoders raise ``WireError`` and nothing else. Commands are opaque.
"""
