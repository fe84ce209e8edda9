"""How long records take until they are in Python.

latency.py answers URL TABLE: from the answer of a server that writes the time into the event's id.
latency.py writes URL INTERVAL: from an item's write in the twin, at this poll interval.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

import shardarrow as sa

PLACE: dict[str, Any] = {
    "region": "us-east-1",
    "access_key_id": "key",
    "secret_access_key": "secret",
}
COUNT = 300
WRITES = 60


def percentiles(found: list[float]) -> dict[str, float]:
    found.sort()
    return {"p50": found[len(found) // 2], "p99": found[int(len(found) * 0.99)]}


async def answers(url: str, table: str) -> list[float]:
    found = []
    source = sa.dynamodb(table, start="earliest", endpoint_url=url, **PLACE)
    async with source.stream(batch_wait=0, poll_interval=0.02) as stream:
        async for batch in stream:
            now = time.time_ns()
            made = int(batch.to_pyarrow().column("_event_id")[0].as_py())
            found.append((now - made) / 1e9)
            if len(found) > COUNT:
                break
    # The first is the start of the stream.
    return found[1:]


async def writes(url: str, interval: float) -> list[float]:
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    chance = random.Random(7)

    def write() -> None:
        for _ in range(WRITES):
            time.sleep(interval * (0.5 + chance.random()))
            client.put_item(TableName="orders", Item={"id": {"S": str(time.time_ns())}})

    found: list[float] = []
    source = sa.dynamodb("orders", start="earliest", endpoint_url=url, **PLACE)
    async with source.stream(batch_wait=0, poll_interval=interval) as stream:
        writing = asyncio.create_task(asyncio.to_thread(write))
        async for batch in stream:
            now = time.time_ns()
            found += [(now - int(key.as_py())) / 1e9 for key in batch.to_pyarrow().column("id")]
            if len(found) >= WRITES:
                break
        await writing
    return found


async def main() -> None:
    what, url, last = sys.argv[1:]
    found = await (answers(url, last) if what == "answers" else writes(url, float(last)))
    print(json.dumps(percentiles(found)))


asyncio.run(main())
