"""A proxy in front of a service that answers JSON over HTTP: faults by operation and occurrence.

It stands before the emulator, or the twin, or anything else on loopback, and knows nothing about them
but the header that names the operation.
"""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

Fault = Literal["error", "delay", "hang", "reset", "cut", "lost reply", "html"]

FAULTS: tuple[Fault, ...] = ("error", "delay", "hang", "reset", "cut", "lost reply", "html")
"""``error``: status 500 without asking the service. ``delay``: the answer comes `DELAY` seconds later.

``hang``: never an answer, without asking the service. ``reset``: the connection is reset, without asking.
``cut``: half of the answer's body, then the connection ends. ``lost reply``: the service was asked, and
the connection ends without an answer. ``html``: status 200 with a page of something else.
"""

DELAY = 0.3
ERROR = b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"of the proxy"}'
HTML = b"<html><body>Please sign in to the network.</body></html>"
_RST = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to `upstream` until it is told otherwise; a context manager."""

    def __init__(self, upstream: str) -> None:
        place = urlsplit(upstream)
        assert place.hostname
        self._upstream = (place.hostname, place.port or 80)
        self._plans: dict[tuple[str, int], Fault] = {}
        self._lock = threading.Lock()
        self._down = False
        self._frozen: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self.calls: Counter[str] = Counter()
        self.struck: Counter[tuple[str, Fault]] = Counter()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def plan(self, operation: str, fault: Fault, at: Iterable[int]) -> None:
        """These calls of the operation, counted from 1 over the proxy's life, meet the fault."""
        assert fault in FAULTS
        with self._lock:
            self._plans |= {(operation, occurrence): fault for occurrence in at}

    def outage(self, on: bool) -> None:
        """While it is on every connection is reset."""
        self._down = on

    def freeze(self) -> None:
        """The connections that are open now never answer again; new ones do."""
        with self._lock:
            self._frozen |= self._open

    def fault_of(self, operation: str) -> Fault | None:
        with self._lock:
            self.calls[operation] += 1
            fault = self._plans.pop((operation, self.calls[operation]), None)
            if fault:
                self.struck[operation, fault] += 1
            return fault

    def is_dead(self, connection: socket.socket) -> bool:
        return connection in self._frozen

    @property
    def is_down(self) -> bool:
        return self._down

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def hang(self) -> None:
        """Until the proxy is closed."""
        self._closing.wait()

    def ask(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self._upstream, timeout=60)
        try:
            connection.request(method, path, body, dict(headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is what this is about."""


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client, with any number of requests."""

    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.proxy.opened(self.connection)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        operation = self.headers.get("x-amz-target", ".").partition(".")[2]
        if proxy.is_down:
            return self._reset()
        if proxy.is_dead(self.connection):
            return proxy.hang()
        match proxy.fault_of(operation):
            case "error":
                return self._answer(500, [("content-type", "application/x-amz-json-1.0")], ERROR)
            case "html":
                return self._answer(200, [("content-type", "text/html")], HTML)
            case "hang":
                return proxy.hang()
            case "reset":
                return self._reset()
            case fault:
                answer = proxy.ask(self.command, self.path, self.headers, body)
                return self._deliver(fault, *answer)

    def _deliver(self, fault: Fault | None, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if fault == "lost reply":
            self.close_connection = True
            return
        if fault == "delay":
            # What the fault is: time that passes before the answer.
            time.sleep(DELAY)
        self._answer(status, headers, body, cut=fault == "cut")

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        left_out = {"connection", "content-length", "transfer-encoding"}
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in left_out:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""
