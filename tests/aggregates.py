"""Aggregates made by another implementation of the format, kept for the tests of the decoder.

``python tests/aggregates.py`` writes ``tests/data/kinesis/aggregates.json`` anew. Each case has the
records that went in and the data that came out.
"""

import json
from base64 import b64encode
from pathlib import Path
from random import Random

from aws_kinesis_agg.aggregator import RecordAggregator

OUT = Path(__file__).parent / "data/kinesis/aggregates.json"
LARGEST = str(2**128 - 1)

Record = tuple[str, str | None, bytes]


def many() -> list[Record]:
    """Enough of them for indexes and lengths of two bytes."""
    random = Random(4)
    keys = [f"key-{number}" for number in range(150)]
    return [(random.choice(keys), None, random.randbytes(random.randrange(0, 40))) for _ in range(400)]


CASES: dict[str, list[Record]] = {
    "one": [("a", None, b"one")],
    "explicit hash keys": [("a", "0", b"x"), ("b", LARGEST, b"y"), ("c", None, b"z"), ("a", "0", b"w")],
    "empty data": [("a", None, b""), ("a", None, b"")],
    "any bytes, any letters": [
        ("gr\u00fc\u00df \U0001f40b", None, bytes(range(256))),
        ('\x00"\\', None, b"\xff"),
    ],
    "json": [("k", None, json.dumps({"id": number, "price": 1.5}).encode()) for number in range(5)],
    "long": [("k" * 256, None, b"0123456789" * 500)],
    "many": many(),
}


def case(name: str, records: list[Record]) -> dict[str, object]:
    aggregator = RecordAggregator()
    for partition_key, explicit_hash_key, data in records:
        if aggregator.add_user_record(partition_key, data, explicit_hash_key) is not None:
            raise ValueError(f"{name}: too large for one aggregate")
    _, _, data = aggregator.clear_and_get().get_contents()
    went_in = [[key, hash_key, b64encode(data).decode()] for key, hash_key, data in records]
    return {"name": name, "records": went_in, "data": b64encode(data).decode()}


if __name__ == "__main__":
    OUT.write_text(json.dumps([case(*item) for item in CASES.items()], separators=(",", ":")) + "\n")
