"""Relays a Kinesis stream of a table's changes with cratedb-toolkit, to a stand-in for CrateDB.

relay.py URL STREAM; the server stands for both.
"""

import json
import logging
import sys
import threading
import time

from cratedb_toolkit.io.kinesis.relay import KinesisRelay


def main() -> None:
    url, stream = sys.argv[1:]
    address = url.removeprefix("http://")
    logging.disable(logging.INFO)
    relay = KinesisRelay(
        f"kinesis+dynamodb://key:secret@{address}/{stream}?region=us-east-1&batch-size=1000",
        f"crate://crate@{address}/bench/mirror",
    )
    times: list[float] = []
    inner = relay.process_event

    def process(event: object) -> None:
        inner(event)
        times.append(time.perf_counter())

    relay.process_event = process
    threading.Thread(target=relay.start, kwargs={"once": True}, daemon=True).start()
    begun = time.perf_counter()
    while len(times) < 500 and time.perf_counter() - begun < 60:
        time.sleep(0.01)
    done = list(times)
    print(json.dumps({"rows": len(done) - 1, "wall": done[-1] - done[0]}), flush=True)


main()
