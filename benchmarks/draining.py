"""A client that reads answers and keeps nothing: what it costs is the same whoever serves.

Run as a program it is a process of its own. Only the standard library.
"""

import hashlib
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PIECE = 1 << 20


def drain(port: int, path: str, *, hashed: bool = False) -> tuple[int, str]:
    """Ask for a path and read the answer to its end; give its length and, if asked, its SHA-256."""
    buffer = memoryview(bytearray(PIECE))
    passed = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        sock.sendall(asked.encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += _some(sock.recv(65536))
        words, _, body = head.partition(b"\r\n\r\n")
        if b" 200 " not in words.split(b"\r\n")[0]:
            raise ValueError(f"{path} was answered with {head[:300]!r}")
        length, arrived = _length(words), len(body)
        if hashed:
            passed.update(body)
        while arrived < length:
            count = sock.recv_into(buffer)
            if not count:
                raise ValueError(f"{path} ended after {arrived:,} of {length:,} bytes")
            if hashed:
                passed.update(buffer[:count])
            arrived += count
    return arrived, passed.hexdigest() if hashed else ""


def _some(data: bytes) -> bytes:
    if not data:
        raise ValueError("the connection ended within the headers")
    return data


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("the answer does not tell its length")


def drained(port: int, path: str, at_once: int) -> dict[str, Any]:
    """Read a path over several connections at once; give seconds, CPU and bytes."""
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(lambda _: drain(port, path)[0], range(at_once)))
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "bytes": sum(found),
    }


if __name__ == "__main__":
    if sys.argv[3] == "sha256":
        print(json.dumps({"digest": drain(int(sys.argv[1]), sys.argv[2], hashed=True)[1]}))
    else:
        print(json.dumps(drained(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
