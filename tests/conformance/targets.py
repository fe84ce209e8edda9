"""What the conformance suite runs against: the fake AWS, and emulators that other people make."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from services import ROOT, Twin
from shardarrow.demo.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator

DYNAMODB, KINESIS, FAN_OUT, CHANNEL = "DynamoDB", "Kinesis", "fan-out", "channel"

START_SECONDS = 60.0


class Target:
    """A running service: its address, and how its time passes."""

    def __init__(self, endpoint_url: str, pass_time: Callable[[float], None] = time.sleep) -> None:
        self.endpoint_url = endpoint_url
        #: Lets so many seconds pass, for rules that are made of time.
        self.pass_time = pass_time
        self._session = boto3.Session(
            aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=REGION
        )

    def client(self, service: str) -> Any:
        """A boto3 client that asks once."""
        config = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1}, proxies={})
        return self._session.client(service, endpoint_url=self.endpoint_url, config=config)


@contextmanager
def twin() -> Iterator[Target]:
    target_dir = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    with Twin(Path(os.environ.get("SHARDARROW_TWIN", target_dir / "debug" / "twin"))) as running:
        rates = {"written_records_per_second": 1000.0, "written_bytes_per_second": 1048576.0}
        running.control("knobs", set={"kinesis": rates})
        yield Target(running.endpoint_url, lambda seconds: _advance(running, seconds))


def _advance(running: Twin, seconds: float) -> None:
    running.control("advance", ms=round(seconds * 1000))


@contextmanager
def ministack() -> Iterator[Target]:
    python = ROOT / ".venv-emulator" / "bin" / "python"
    with Emulator(Path(os.environ.get("SHARDARROW_EMULATOR_PYTHON", python))) as running:
        yield Target(running.endpoint_url)


@contextmanager
def ferrokinesis() -> Iterator[Target]:
    port = _free_port()
    binary = ROOT / ".tools" / "ferrokinesis" / "debug" / "conformance-ferrokinesis"
    with _process([str(binary), str(port)], port):
        yield Target(f"http://127.0.0.1:{port}")


@contextmanager
def kinesis_local() -> Iterator[Target]:
    """It listens on every interface unless told otherwise before it starts."""
    port, tls = _free_port(), _free_port()
    module = ROOT / ".tools" / "kinesis-local" / "node_modules" / "kinesis-local"
    durations = (
        "CREATE_STREAM DELETE_STREAM SPLIT_SHARD MERGE_SHARDS UPDATE_SHARD_COUNT "
        "REGISTER_STREAM_CONSUMER DEREGISTER_STREAM_CONSUMER"
    )
    environment = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls),
        "KINESIS_MOCK_CERT_PATH": str(module / "server.json"),
        "SHARD_LIMIT": "1000",
    } | {f"{name}_DURATION": "10ms" for name in durations.split()}
    loopback = Path(__file__).parent / "loopback.cjs"
    with _process(["node", "--require", str(loopback), str(module / "main.js")], port, environment):
        yield Target(f"http://127.0.0.1:{port}")


#: By name: how to start it, and which services it offers at all.
TARGETS = {
    "twin": (twin, {DYNAMODB, KINESIS, FAN_OUT, CHANNEL}),
    "ministack": (ministack, {DYNAMODB, KINESIS, FAN_OUT, CHANNEL}),
    "ferrokinesis": (ferrokinesis, {KINESIS, FAN_OUT}),
    "kinesis-local": (kinesis_local, {KINESIS, FAN_OUT}),
}


@contextmanager
def _process(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A process that listens on `port`, until the block ends."""
    with tempfile.TemporaryDirectory() as home, (Path(home) / "log").open("w+b") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        with process:
            try:
                _wait_until_listening(process, port, log)
                yield
            finally:
                process.kill()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    log.seek(0)
    raise RuntimeError(f"{process.args} did not start: {log.read().decode(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
