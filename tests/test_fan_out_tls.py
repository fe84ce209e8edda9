"""Enhanced fan-out as the real service asks for it: HTTP/2, agreed on during the TLS handshake."""

import contextlib
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services import ROOT, Twin

# Signed by itself for localhost, good until 2126. It protects nothing.
CERTIFICATE = ROOT / "tests" / "data" / "localhost.pem"

CHILD = """
import json, sys
import pyarrow as pa
import shardarrow as sa
source = sa.kinesis("clicks", fan_out="app", endpoint_url=sys.argv[1])
found = []
with source.stream() as stream:
    for batch in stream:
        found += pa.record_batch(batch)["data"].to_pylist()
        if len(found) >= int(sys.argv[2]):
            break
print(json.dumps(sorted(map(int, found))))
"""


class Tls:
    """Takes TLS off what comes to it and passes it on, whatever it is."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.agreed: list[str | None] = []
        self._upstream = upstream
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATE)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(client, server_side=True) as outside,
            socket.create_connection(self._upstream) as inside,
        ):
            self.agreed.append(outside.selected_alpn_protocol())
            threading.Thread(target=_pass_on, args=(inside, outside), daemon=True).start()
            _pass_on(outside, inside)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls(twin: Twin) -> Iterator[Tls]:
    host, _, port = twin.endpoint_url.removeprefix("http://").partition(":")
    proxy = Tls((host, int(port)))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("fault", [None, "go_away", "reset", "truncated"])
def test_each_subscription_has_an_http2_connection_of_its_own(
    fault: str | None, twin: Twin, tls: Tls, start_process: Callable[..., Any]
) -> None:
    """One stream a connection is all that the server allows, less than was ever seen of the service."""
    twin.control("knobs", set={"kinesis": {"http2_streams": 1}})
    kinesis = twin.client("kinesis")
    kinesis.create_stream(StreamName="clicks", ShardCount=6)
    records = [{"PartitionKey": f"key {n}", "Data": str(n).encode()} for n in range(100)]
    assert kinesis.put_records(StreamName="clicks", Records=records)["FailedRecordCount"] == 0
    if fault:
        twin.inject("Kinesis.SubscribeToShardEvent", {"kind": fault})
    environment = {**os.environ, "SSL_CERT_FILE": str(CERTIFICATE)}
    child = start_process(sys.executable, "-c", CHILD, tls.url, "100", env=environment)
    said, complaint = child.communicate(timeout=60)
    assert child.returncode == 0, complaint
    assert json.loads(said) == list(range(100))
    assert set(tls.agreed) == {"h2"} and len(tls.agreed) >= 6 + 1


def test_the_certificate_is_checked(
    twin: Twin, tls: Tls, tmp_path: Path, start_process: Callable[..., Any]
) -> None:
    (tmp_path / "none.pem").write_text("")
    environment = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "none.pem")}
    child = start_process(sys.executable, "-c", CHILD, tls.url, "100", env=environment)
    _, complaint = child.communicate(timeout=120)
    assert child.returncode == 1 and "certificate" in complaint.lower()
    assert tls.agreed == []
