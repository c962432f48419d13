"""The floor: what bare pyzmq and fdatasync can do with the message pattern of a replicated log.

One leader, two followers and one client process exchange over loopback TCP the messages that a
replicated log cannot do without, and nothing else: no terms, no elections, no sessions, no state
machine. raftkv's own throughput on the same machine is divided by these figures.

    put  request -> leader -> one batch frame to each follower and one write + fdatasync on each of the
         three; the replies go out once two of the three have the batch on disk
    get  request -> leader -> one empty frame to each follower for all the reads that wait; the replies
         go out once one follower has answered, which with the leader makes a majority

The pattern is plain on purpose: one ZeroMQ message for each request and for each reply, public pyzmq
calls only, one thread for the messages and one for the disk, group commit without any added delay.

    python benchmarks/floor.py put --clients 64 --total 100000 --value-size 128 --json
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import signal
import struct
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

LOOPBACK = "tcp://127.0.0.1"
NUMBER = struct.Struct(">Q")  # a request's number in front of its value, a batch's in front of its requests
LEADER, *FOLLOWERS = b"\x01", b"\x02", b"\x03"  # a follower's name is also its ZeroMQ routing id

DRAIN_REQUESTS = 1024  # a batch has at most so many requests,
BATCH_BYTES = 4 << 20  # and a batch, or a write of several, about so many bytes at most
WRITE_BATCHES = 1024  # IOV_MAX: one pwritev takes no more buffers
LOG_BYTES = 16 << 20  # holds any one write; the log starts over at its beginning when it is full
MAX_VALUE_SIZE = 1 << 20

WARM_UP = 1000  # requests before the clock starts
SILENCE_MS = 10_000  # the client gives up when nothing at all has been answered for so long
IDLE_MS = 1000  # how often an idle server looks whether its parent still lives

# The default of 5 ms lets a busy message loop keep a finished fdatasync waiting for the GIL. This is
# worth only a few per cent, because each pyzmq call releases the GIL as well; shorter gains no more.
SWITCH_INTERVAL_S = 1e-4

NOBLOCK, SNDMORE = int(zmq.NOBLOCK), int(zmq.SNDMORE)  # plain integers: enum flags cost at each call


class Log:
    """A preallocated file, and the thread that writes and syncs what has been appended meanwhile.

    The file is filled with zeros rather than fallocated: the first fdatasync over fallocated blocks
    has to journal that they are now written, which costs about half as much again.
    """

    def __init__(self, path: Path) -> None:
        self.wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # readable: something was synced
        self._synced = 0
        self._appended: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, bytes(LOG_BYTES), 0)
        os.fsync(self._fd)
        # Should it fail, it says so on stderr and syncs nothing more, and the client gives up.
        threading.Thread(target=self._run, name="storage", daemon=True).start()

    def append(self, number: int, frame: bytes) -> None:
        self._appended.put((number, frame))

    def synced(self) -> int:
        """The highest batch number on disk; to be called when `wakeup` is readable."""
        os.eventfd_read(self.wakeup)
        return self._synced

    def _run(self) -> None:
        take, empty = self._appended.get, self._appended.empty
        offset = 0
        while True:
            number, frame = take()
            frames, size = [frame], len(frame)
            # Whatever was appended during the last sync shares the next one.
            while len(frames) < WRITE_BATCHES and size < BATCH_BYTES and not empty():
                number, frame = take()
                frames.append(frame)
                size += len(frame)
            if offset + size > LOG_BYTES:
                offset = 0
            if os.pwritev(self._fd, frames, offset) != size:
                raise OSError("short write to the log")
            os.fdatasync(self._fd)
            offset += size
            self._synced = number
            os.eventfd_write(self.wakeup, 1)


def open_socket(context: zmq.Context[zmq.SyncSocket], kind: zmq.SocketType) -> zmq.SyncSocket:
    """A socket without a high-water mark: the number of outstanding requests is the bound."""
    socket = context.socket(kind)
    socket.set_hwm(0)
    socket.linger = 0
    return socket


def settle_server(*sources: zmq.SyncSocket | int) -> zmq.Poller:
    """The last step before a server's loop: what it holds now stays, what follows makes no cycles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children itself
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    poller = zmq.Poller()
    for source in sources:
        poller.register(source, zmq.POLLIN)
    return poller


def is_orphan() -> bool:
    parent = multiprocessing.parent_process()
    return parent is None or not parent.is_alive()


def drain(router: zmq.SyncSocket, limit: int) -> tuple[list[bytes], list[bytes]]:
    """The messages that have arrived, at most `limit`: their senders and their contents."""
    receive = router.recv
    senders: list[bytes] = []
    contents: list[bytes] = []
    try:
        for _ in range(limit):
            senders.append(receive(NOBLOCK))
            contents.append(receive(NOBLOCK))
    except zmq.Again:
        pass  # only ever in front of a message: ZeroMQ delivers its frames together
    return senders, contents


def run_follower(pipe: Connection, path: Path, name: bytes) -> None:
    """Put each batch frame on disk and acknowledge the highest; answer an empty frame at once."""
    context = zmq.Context()
    batches, acks = open_socket(context, zmq.ROUTER), open_socket(context, zmq.DEALER)
    log = Log(path)
    pipe.send(f"{LOOPBACK}:{batches.bind_to_random_port(LOOPBACK)}")
    acks.setsockopt(zmq.ROUTING_ID, name)
    acks.connect(pipe.recv())
    poller = settle_server(batches, log.wakeup)
    while True:
        ready = dict(poller.poll(IDLE_MS))
        if not ready and is_orphan():
            return
        if log.wakeup in ready:
            acks.send(NUMBER.pack(log.synced()), NOBLOCK)
        if batches in ready:
            for frame in drain(batches, DRAIN_REQUESTS)[1]:
                if len(frame) == NUMBER.size:
                    acks.send(frame, NOBLOCK)
                else:
                    log.append(NUMBER.unpack_from(frame)[0], frame)


def run_leader(pipe: Connection, path: Path, is_put: bool, value_size: int) -> None:
    """Make the next batch of all that has arrived, however many are under way; reply at a majority."""
    context = zmq.Context()
    clients, acks = open_socket(context, zmq.ROUTER), open_socket(context, zmq.ROUTER)
    log = Log(path)
    pipe.send([f"{LOOPBACK}:{router.bind_to_random_port(LOOPBACK)}" for router in (clients, acks)])
    followers = [open_socket(context, zmq.DEALER) for _ in FOLLOWERS]
    for follower, endpoint in zip(followers, pipe.recv(), strict=True):
        follower.connect(endpoint)
    limit = max(1, min(DRAIN_REQUESTS, BATCH_BYTES // (NUMBER.size + value_size)))
    value = b"" if is_put else bytes(value_size)  # what follows the number in a reply
    number = 0  # of the last batch (put) or round (get)
    reached = dict.fromkeys((LEADER, *FOLLOWERS), 0)  # the number that each of the three has confirmed
    waiting: deque[tuple[int, list[bytes], list[bytes]]] = deque()
    send = clients.send
    poller = settle_server(clients, acks, log.wakeup)
    while True:
        ready = dict(poller.poll(IDLE_MS))
        if not ready and is_orphan():
            return
        if log.wakeup in ready:
            reached[LEADER] = log.synced()
        if acks in ready:
            for name, ack in zip(*drain(acks, DRAIN_REQUESTS), strict=True):
                reached[name] = NUMBER.unpack(ack)[0]
        # The next batch goes out before the replies do: the disks need not wait for them.
        senders, requests = drain(clients, limit) if clients in ready else ([], [])
        if requests:  # a batch is never empty: an empty frame is a round of reads
            number += 1
            frame = NUMBER.pack(number) + (b"".join(requests) if is_put else b"")
            for follower in followers:
                follower.send(frame, NOBLOCK)
            if is_put:
                log.append(number, frame)
            else:
                reached[LEADER] = number  # a read needs no disk: the leader agrees at once
            waiting.append((number, senders, requests))
        majority = sorted(reached.values())[1]
        while waiting and waiting[0][0] <= majority:
            _, senders, requests = waiting.popleft()
            for sender, request in zip(senders, requests, strict=True):
                send(sender, SNDMORE)
                send(request[: NUMBER.size] + value, NOBLOCK)


@contextmanager
def running_servers(is_put: bool, value_size: int, folder: Path) -> Iterator[str]:
    """Start the three servers, make them known to each other, and yield the leader's endpoint."""
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for name in (LEADER, *FOLLOWERS):
            here, there = spawn.Pipe()
            common = (there, folder / f"{name.hex()}.log")
            if name == LEADER:
                server = spawn.Process(target=run_leader, args=(*common, is_put, value_size), daemon=True)
            else:
                server = spawn.Process(target=run_follower, args=(*common, name), daemon=True)
            server.start()
            there.close()  # so that reading from a child that died fails at once
            processes.append(server)
            pipes.append(here)
        (for_clients, for_acks), *for_batches = [pipe.recv() for pipe in pipes]
        pipes[0].send(for_batches)
        for pipe in pipes[1:]:
            pipe.send(for_acks)
        yield for_clients
    finally:
        for server in processes:
            server.kill()  # nothing in them is worth an orderly end
            server.join()


def drive(
    socket: zmq.SyncSocket, clients: int, total: int, request_value: bytes, reply_size: int
) -> tuple[float, list[float], int]:
    """Keep `clients` requests outstanding until `total` are answered: seconds, latencies and errors."""
    clock, send, receive = time.perf_counter, socket.send, socket.recv
    pack, unpack = NUMBER.pack, NUMBER.unpack_from
    started, latencies = [0.0] * total, [-1.0] * total
    sent = answered = malformed = 0
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    begin = now = clock()
    while sent < min(clients, total):
        started[sent] = clock()
        send(pack(sent) + request_value, NOBLOCK)
        sent += 1
    while answered < total and poller.poll(SILENCE_MS):
        try:
            while True:
                reply = receive(NOBLOCK)
                now = clock()
                (number,) = unpack(reply)
                latencies[number] = now - started[number]
                answered += 1
                malformed += len(reply) != reply_size
                if sent < total:  # this logical client's next request
                    started[sent] = now
                    send(pack(sent) + request_value, NOBLOCK)
                    sent += 1
        except zmq.Again:
            pass
    good = [latency for latency in latencies if latency >= 0.0]
    return now - begin, good, malformed + total - len(good)


def summarize(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies) or [0.0]
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in shares.items()}
    return {name: round(seconds * 1e3, 4) for name, seconds in {"mean": fmean(ordered), **at}.items()}


def measure(
    operation: str, clients: int, total: int, value_size: int, data: Path | None = None
) -> dict[str, object]:
    """One run with fresh servers, their logs in a temporary folder under `data` (the current folder)."""
    if operation not in ("put", "get") or min(clients, total, value_size) < 1 or value_size > MAX_VALUE_SIZE:
        raise ValueError(f"cannot measure {operation!r} with {clients=}, {total=}, {value_size=}")
    is_put, value = operation == "put", bytes(value_size)
    asked, answered = (value, b"") if is_put else (b"", value)
    reply_size = NUMBER.size + len(answered)
    with (
        tempfile.TemporaryDirectory(prefix="floor-", dir=data or Path.cwd()) as folder,
        running_servers(is_put, value_size, Path(folder)) as endpoint,
        zmq.Context() as context,
        open_socket(context, zmq.DEALER) as socket,
    ):
        socket.connect(endpoint)
        if drive(socket, clients, max(clients, WARM_UP), asked, reply_size)[2]:
            raise RuntimeError("the servers do not answer")
        seconds, latencies, errors = drive(socket, clients, total, asked, reply_size)
    return {
        "operation": operation,
        "clients": clients,
        "total": total,
        "value_size": value_size,
        "seconds": round(seconds, 4),
        "ops_per_second": round(len(latencies) / seconds, 1) if latencies else 0.0,
        "latency_ms": summarize(latencies),
        "errors": errors,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="What pyzmq and fdatasync do without any Raft: the yardstick."
    )
    parser.add_argument("operation", choices=("put", "get"))
    parser.add_argument("--clients", type=int, default=64, help="requests outstanding at any time")
    parser.add_argument("--total", type=int, default=100_000, help="requests in all")
    parser.add_argument("--value-size", type=int, default=128, help="bytes of each value")
    parser.add_argument("--data", type=Path, help="folder on the disk to measure (the current folder)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    try:
        result = measure(args.operation, args.clients, args.total, args.value_size, args.data)
    except ValueError as error:
        parser.error(str(error))
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:15} {value}")
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
