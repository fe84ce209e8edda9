"""DynamoDB on this machine: starts ministack on a free loopback port, for the demo and for tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

REGION = "eu-west-1"
# ministack takes any key; a fixed one keeps real credentials away from it.
ACCESS_KEY_ID = "000000000000"
SECRET_ACCESS_KEY = "emulator"  # noqa: S105
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class Emulator:
    """A running emulator, until `close`.

    `python` is the interpreter of the environment that ministack is installed in.

    Raises:
        RuntimeError: it ended or did not answer within a minute; the message holds what it said.
    """

    def __init__(self, python: str | Path = sys.executable) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="shardarrow-emulator-")
        self._port = _free_port()
        self._log = Path(self._home.name) / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "ministack"],
                env=self._environment(),
                cwd=self._home.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_listening()
        except BaseException:
            self.close()
            raise

    @property
    def endpoint_url(self) -> str:
        """The address for `endpoint_url=` or `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """Variables that point the AWS chain of a process here and away from the user's account."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def process_environment(self) -> dict[str, str]:
        """All variables for a process that is to use the emulator; the user's AWS settings are left out."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
        }
        return kept | self.environment()

    def client(self, service: str) -> Any:
        """A boto3 client, such as `client("dynamodb")` or `client("dynamodbstreams")`."""
        import boto3
        from botocore.config import Config

        session = boto3.Session(
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=REGION,
        )
        config = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 2}, proxies={})
        return session.client(service, endpoint_url=self.endpoint_url, config=config)

    def close(self) -> None:
        """Stop the process and remove what it kept."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._home.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self._home.name,
            "TMPDIR": self._home.name,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
        }

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the emulator ended at once; it said:\n{self._said()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            # There is nothing to wait for but the port itself.
            time.sleep(0.02)
        raise RuntimeError(
            f"the emulator did not listen within {START_SECONDS:.0f} s; it said:\n{self._said()}"
        )

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:] or "(nothing)"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
