"""A service between the library and the fake AWS that changes the pages of records on their way."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

Change = Callable[[bytes], bytes]


class Forger:
    """Passes every call on to `endpoint_url`; what GetRecords answers goes through `change` first."""

    def __init__(self, endpoint_url: str) -> None:
        self.change: Change = lambda body: body
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(endpoint_url).netloc))
        self.endpoint_url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def _handler(forger: Forger, behind: str) -> type[BaseHTTPRequestHandler]:
    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(behind, timeout=30)
            connection.request("POST", self.path, said, dict(self.headers))
            answer = connection.getresponse()
            body, status = answer.read(), answer.status
            connection.close()
            if self.headers["X-Amz-Target"].endswith(".GetRecords") and status == 200:
                body = forger.change(body)
            self.send_response_only(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Date", answer.headers["Date"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    return Passing
