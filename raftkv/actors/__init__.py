"""A node: eleven actors on one loop, which two threads relay each other in running; the main ones are these.

::

    clients ──ROUTER── gateway ──▶ raft ──▶ storage ── relay ─── wal/
                         ▲ │        │ ▲
                         │ └▶ store ◀┘ └──▶ peers ──DEALER──▶ other nodes' ROUTER
    operators ─ROUTER─ control      status ──XPUB─▶ dashboards

An actor is a plain class: ``handle(message)`` and, for some, ``end_of_turn()``. It sees a ``Context``
(send, timers, the time, randomness) and, where it talks to the outside, a ``Port`` of frames; it never sees
a socket, a clock or a thread. Besides messages actors share the state machine: ``store`` changes it,
``watches`` and ``leases`` look at it when their turns end, which is after the store's. And some look at
what another keeps, without changing it: ``store`` asks ``leases`` how long one has left, ``control`` reads
the log and the status. ``node`` wires the actors together; ``loop``, ``zmq_ports``, ``gatekeeper`` and
``relay`` are the only modules that touch the world: another loop, clock, network and disk drive the very
same actors.
"""
