"""Mixed changes for tests of whole loads: inserts, updates and deletes, every attribute type."""

import random
from collections.abc import Iterator
from typing import Any

from services import Item

BATCH = 25
"""The most writes of one BatchWriteItem (the service's limit)."""

WINDOW = 2 * BATCH
"""How many keys are changed again and again at any time."""


class Changes:
    """Writes changes to one table, the same ones for the same seed.

    Most go as batches of whole items and deletions; the others set one attribute and remove another.
    Attributes appear and numbers grow on the way. Most changes are to a few keys which are then left
    alone, so that a change that is lost, whenever that is, is not made good by a later one.
    """

    def __init__(self, dynamodb: Any, table: str, *, keys: int, total: int, seed: int) -> None:
        """`total` is how many changes there will be."""
        self._dynamodb, self._table, self._keys, self._total = dynamodb, table, keys, total
        self._made = 0
        self.random = random.Random(seed)

    def fill(self, **more: dict[str, Any]) -> None:
        """Put an item for every key, with `more` attributes in each."""
        for start in range(0, self._keys, BATCH):
            numbers = range(start, min(start + BATCH, self._keys))
            items = (key(n) | self._attributes(n / self._keys) | more for n in numbers)
            self._send([{"PutRequest": {"Item": item}} for item in items])

    def write(self, count: int) -> None:
        """Make `count` changes; one that changes nothing leaves no record in the stream."""
        for size in batches(count):
            progress = self._made / self._total
            if self.random.random() < 0.05:
                for _ in range(size):
                    self._update(progress)
            else:
                self._put_and_delete(size, progress)
            self._made += size

    def _put_and_delete(self, size: int, progress: float) -> None:
        numbers: set[int] = set()
        while len(numbers) < size:
            numbers.add(self._number_of_key(progress))
        self._send([self._request(number, progress) for number in sorted(numbers)])

    def _send(self, requests: list[dict[str, Any]]) -> None:
        left = self._dynamodb.batch_write_item(RequestItems={self._table: requests})["UnprocessedItems"]
        assert not left

    def _number_of_key(self, progress: float) -> int:
        if self.random.random() < 0.05:
            return self.random.randrange(self._keys)
        return int(progress * (self._keys - WINDOW)) + self.random.randrange(WINDOW)

    def _request(self, number: int, progress: float) -> dict[str, Any]:
        if self.random.random() < 0.25:
            return {"DeleteRequest": {"Key": key(number)}}
        return {"PutRequest": {"Item": key(number) | self._attributes(progress)}}

    def _update(self, progress: float) -> None:
        attributes = sorted(self._attributes(1).items())
        (set_name, value), (gone, _) = self.random.sample(attributes, 2)
        self._dynamodb.update_item(
            TableName=self._table,
            Key=key(self._number_of_key(progress)),
            UpdateExpression="SET #set = :value, #count = :count REMOVE #gone",
            ExpressionAttributeNames={"#set": set_name, "#gone": gone, "#count": "count"},
            ExpressionAttributeValues={":value": value, ":count": {"N": self._number(progress)}},
        )

    def _attributes(self, progress: float) -> Item:
        some = {"name", "price"} if progress < 0.3 else {"name", "price", "Name", "select", "late"}
        chosen = self.random
        values: Item = {
            "name": {"S": chosen.choice(["Ada", "", "李", 'O\'Neil "Q"', "\u0000\n", "🦆"])},
            "price": {"N": self._number(progress)},
            "Name": {"S": "differs only in case"},
            "select": {"BOOL": chosen.random() < 0.5},
            "late": {"N": self._number(progress)},
            "bytes": {"B": chosen.randbytes(chosen.randrange(12))},
            "words": {"SS": chosen.sample(["new", "gift", "äöü", "a,b"], 2)},
            "numbers": {"NS": chosen.sample(["1", "-2.5", "9" * 38, "1E-130"], 2)},
            "blobs": {"BS": chosen.sample([b"\x00", b"\xff\xfe", b"blob"], 2)},
            "map": {"M": {"n": {"N": self._number(progress)}, "l": {"L": [{"NULL": True}, {"B": b"\x01"}]}}},
            "list": {"L": [{"S": "first"}, {"N": self._number(progress)}]},
            "nothing": {"NULL": True},
            "mixed": chosen.choice([{"N": "7"}, {"S": "7"}, {"BOOL": True}]),
            "_op": {"S": "named like a metadata column"},
        }
        return {name: value for name, value in values.items() if name in some or chosen.random() < 0.5}

    def _number(self, progress: float) -> str:
        """Integers, then fractions, then 38 digits, then the far ends of the exponent."""
        digits = "".join(self.random.choices("123456789", k=38))
        ladder = [
            str(self.random.randrange(-1000, 1000)),
            f"{self.random.randrange(10**6)}.{self.random.randrange(1, 100):02}",
            f"-{digits[:25]}.{digits[25:34]}",
            digits,
            f"{digits[0]}.{digits[1:]}E-92",
            f"-{digits[0]}.{digits[1:]}E+125",
        ]
        return self.random.choice(ladder[: 1 + int(progress * len(ladder))])


def key(number: int) -> Item:
    return {"id": {"S": f"key {number}"}}


def batches(count: int) -> Iterator[int]:
    """The sizes of the batches that make `count` changes."""
    for start in range(0, count, BATCH):
        yield min(BATCH, count - start)
