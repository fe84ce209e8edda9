"""What the fixtures hand out: tables on the emulator, and the fake AWS."""

import json
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from shardarrow.demo.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator

ROOT = Path(__file__).parent.parent
_numbers = count(1)

Item = dict[str, dict[str, Any]]


class Tables:
    """Makes tables, fills them, and deletes them again."""

    def __init__(self, emulator: Emulator) -> None:
        self.dynamodb = emulator.client("dynamodb")
        self._made: list[str] = []

    def make(
        self,
        name: str | None = None,
        keys: Mapping[str, str] | None = None,
        view: str | None = "NEW_AND_OLD_IMAGES",
    ) -> str:
        """Create a table and return its name.

        `keys` maps names to S, N or B, hash key first; with `view=None` the table has no stream.
        """
        name = name or f"table-{next(_numbers)}"
        keys = keys or {"pk": "S"}
        roles = dict(zip(keys, ["HASH", "RANGE"], strict=False))
        stream = {"StreamEnabled": True, "StreamViewType": view} if view else {"StreamEnabled": False}
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": role} for key, role in roles.items()],
            AttributeDefinitions=[
                {"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=stream,
        )
        self._made.append(name)
        return name

    def put(self, table: str, *items: Item) -> None:
        """Write items one by one, so that the stream has them in this order."""
        for item in items:
            self.dynamodb.put_item(TableName=table, Item=item)

    def write(self, table: str, requests: Iterable[dict[str, Any]]) -> None:
        """Write PutRequests and DeleteRequests, 25 at a time; a batch must not name a key twice."""
        waiting = list(requests)
        for start in range(0, len(waiting), 25):
            self.dynamodb.batch_write_item(RequestItems={table: waiting[start : start + 25]})

    def items(self, table: str) -> list[Item]:
        """Every item, in DynamoDB JSON (binary as bytes)."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def close(self) -> None:
        for name in self._made:
            try:
                self.dynamodb.delete_table(TableName=name)
            except self.dynamodb.exceptions.ResourceNotFoundException:
                continue


@cache
def _session() -> boto3.Session:
    """One for all tests: it keeps the services' models, which take longer to load than most tests run."""
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=REGION
    )


class Twin:
    """A running fake AWS; `control` sends it commands (tests/twin/README.md)."""

    def __init__(self, binary: Path, *arguments: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            # Its input ends with this process, however that ends.
            [binary, "--until-stdin-closes", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith("listening on "):
            said = self._said()
            self.close()
            raise RuntimeError(f"the twin did not start: {line}{said}")
        self.endpoint_url = f"http://{line.removeprefix('listening on ').strip()}"
        # No proxy stands between a test and the loopback interface.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def control(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one command to `/__twin`, such as `control("roll_over", table="orders", partition=0)`."""
        request = urllib.request.Request(
            f"{self.endpoint_url}/__twin", data=json.dumps({"do": do, **arguments}).encode()
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ValueError(f"{do}: {json.load(refusal)['error']}") from None

    def inject(self, op: str, fault: dict[str, Any], **options: Any) -> None:
        """Let the next calls of `op` fail: `inject("GetRecords", {"kind": "reset"}, times=2)`."""
        self.control("inject", op=op, fault=fault, **options)

    def client(self, service: str) -> Any:
        """A boto3 client that asks once, so that a scripted fault is seen."""
        config = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1}, proxies={})
        return _session().client(service, endpoint_url=self.endpoint_url, config=config)

    def close(self) -> None:
        self._process.kill()
        with self._process:
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]
