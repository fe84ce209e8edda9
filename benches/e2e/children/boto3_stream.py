"""Reads the first shard of a table to its end as people do today: a loop over `get_records`.

boto3_stream.py URL TABLE
"""

import json
import resource
import sys
import time

import peer


def main() -> None:
    url, table = sys.argv[1:]
    service = table.partition("_")[0]
    client = peer.client(service, url)
    rows = 0
    begun = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF)
    iterator = f"{table}|shard|0"
    while iterator:
        answer = client.get_records(ShardIterator=iterator)
        if answer["Records"]:
            rows += peer.batch(service, answer).num_rows
        iterator = answer.get("NextShardIterator")
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"rows": rows, "wall": wall, "cpu": cpu, "peak": after.ru_maxrss * 1024}))


main()
