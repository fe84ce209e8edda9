"""Measures boto3's way of decoding a page, as often as a line on standard input asks.

boto3_decode.py BENCH, the program that writes the pages.
"""

import json
import subprocess
import sys
import time
from typing import Any

import peer
from botocore.parsers import create_parser


def page(bench: str, workload: str) -> bytes:
    return subprocess.run([bench, "page", workload], capture_output=True, check=True).stdout


def prepared(bench: str, workload: str) -> tuple[str, bytes, Any, Any]:
    service = workload.partition("/")[0]
    model = peer.client(service, "http://127.0.0.1:1").meta.service_model
    shape = model.operation_model(peer.operation(service)).output_shape
    return service, page(bench, workload), create_parser(model.metadata["protocol"]), shape


def main() -> None:
    known: dict[str, tuple[str, bytes, Any, Any]] = {}
    for line in sys.stdin:
        workload = line.split()[0]
        if workload not in known:
            known[workload] = prepared(sys.argv[1], workload)
        service, body, parser, shape = known[workload]
        begun = time.thread_time()
        answer = parser.parse({"body": body, "headers": {}, "status_code": 200}, shape)
        peer.batch(service, answer)
        seconds = time.thread_time() - begun
        print(json.dumps({"bytes": len(body), "seconds": seconds, "passes": 1}), flush=True)


main()
