"""Counts the calls that shards without records cost.

idle.py URL INTERVAL
"""

import asyncio
import json
import sys
import time
import urllib.request
from typing import Any

import boto3

import shardarrow as sa

SHARDS = 4
SECONDS = 12.0


def control(url: str, **command: Any) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/__twin", data=json.dumps(command).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def calls(url: str) -> int:
    return int(control(url, do="counters")["counters"]["GetRecords"]["calls"])


async def main() -> None:
    url, interval = sys.argv[1], float(sys.argv[2])
    place = {"endpoint_url": url, "region_name": "us-east-1"}
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    control(url, do="partitions", table="orders", count=SHARDS)
    boto3.client("dynamodb", **place, **keys).create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    source = sa.dynamodb(
        "orders",
        start="earliest",
        endpoint_url=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
    )
    async with source.stream(poll_interval=interval) as stream:
        reading = asyncio.ensure_future(anext(stream))
        # Until the shards are known to be quiet.
        await asyncio.sleep(3 + interval)
        before, begun = calls(url), time.perf_counter()
        await asyncio.sleep(SECONDS)
        made, seconds = calls(url) - before, time.perf_counter() - begun
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    print(json.dumps({"calls": made, "shards": SHARDS, "seconds": seconds}))


asyncio.run(main())
