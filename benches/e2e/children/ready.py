"""Times the turns of `async for` that find a batch ready.

ready.py URL TABLE
"""

import asyncio
import json
import sys
import time
from statistics import median

import shardarrow as sa

# Fewer than the table has: the end of a stream takes its time.
BATCHES = 120


async def turns(url: str, table: str, *, take: bool) -> list[float]:
    source = sa.dynamodb(
        table,
        start="earliest",
        endpoint_url=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
    )
    found: list[float] = []
    async with source.stream(follow=False, batch_rows=20, memory_limit="64MiB") as stream:
        # Until as many batches wait as may.
        await asyncio.sleep(0.5)
        batch = None
        while True:
            # To give the last one's memory back is the consumer's part.
            del batch
            begun = time.perf_counter()
            try:
                batch = await anext(stream)
            except StopAsyncIteration:
                return found
            if take:
                batch.to_pyarrow()
            found.append(time.perf_counter() - begun)
            if len(found) == BATCHES:
                return found


async def main() -> None:
    url, table = sys.argv[1:]
    plain = await turns(url, table, take=False)
    taken = await turns(url, table, take=True)
    print(json.dumps({"turn": median(plain), "import": median(taken), "batches": len(plain)}))


asyncio.run(main())
