"""A table of orders that keeps changing: every kind of change, every attribute type."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

# One attribute value as DynamoDB says it, such as {"N": "1.5"}; binary values are bytes.
Value = dict[str, Any]
Item = dict[str, Value]


class Orders:
    """Makes changes of every kind to items with every attribute type, the same ones for the same seed."""

    LAST: ClassVar[str] = "the last order"

    def __init__(self, dynamodb: Any, table: str, keys: int, seed: int) -> None:
        self.dynamodb = dynamodb
        self.table = table
        self.keys = keys
        self.random = random.Random(seed)  # noqa: S311 (varied, not secret)

    def create(self) -> None:
        """Create the table with a stream that carries both images."""
        self.dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    def change(self, progress: float) -> None:
        """Make one change. `progress` goes from 0 to 1; attributes and larger numbers appear on the way."""
        key: Item = {"id": {"S": f"order {self.random.randrange(self.keys):04}"}}
        roll = self.random.random()
        if roll < 0.2:
            self.dynamodb.delete_item(TableName=self.table, Key=key)
        elif roll < 0.5:
            self._update(key, self._attributes(progress))
        else:
            self.dynamodb.put_item(TableName=self.table, Item=key | self._attributes(progress))

    def finish(self) -> None:
        """Write the item that nothing else writes."""
        self.dynamodb.put_item(TableName=self.table, Item={"id": {"S": self.LAST}})

    def items(self) -> list[Item]:
        """Every item of the table."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def _update(self, key: Item, attributes: Item) -> None:
        """Set one attribute and remove another."""
        if len(attributes) < 2:
            return
        (set_name, value), (gone, _) = self.random.sample(sorted(attributes.items()), 2)
        self.dynamodb.update_item(
            TableName=self.table,
            Key=key,
            UpdateExpression="SET #set = :value REMOVE #gone",
            ExpressionAttributeNames={"#set": set_name, "#gone": gone},
            ExpressionAttributeValues={":value": value},
        )

    def _attributes(self, progress: float) -> Item:
        """Most attributes, each sometimes absent; the last ones only in the second half."""
        kinds: dict[str, Callable[[], Value]] = {
            "customer": lambda: {"S": self.random.choice(["Ada", "Büşra", "李", 'O\'Neil "Q"', "", "🦆"])},
            "amount": lambda: {"N": self._number(progress)},
            "paid": lambda: {"BOOL": self.random.random() < 0.5},
            "receipt": lambda: {"B": self.random.randbytes(self.random.randrange(20))},
            "tags": lambda: {"SS": self._some(["new", "gift", "äöü", "a,b"])},
            "scores": lambda: {"NS": self._some(["1", "-2.5", "9" * 38])},
            "marks": lambda: {"BS": self._some([b"\x00", b"\xff\xfe", b"mark"])},
            "address": lambda: {"M": self._address(progress)},
            "history": lambda: {"L": [{"S": "made"}, {"N": self._number(progress)}, {"NULL": True}]},
            "note": lambda: self.random.choice([{"NULL": True}, {"S": "fragile"}]),
            "mixed": lambda: self.random.choice([{"N": "7"}, {"S": "seven"}, {"BOOL": True}]),
        }
        if progress > 0.5:
            kinds["discount"] = lambda: {"N": self._number(1)}
            kinds["select"] = lambda: {"S": "a column with the name of a keyword"}
        return {name: make() for name, make in kinds.items() if self.random.random() < 0.8}

    def _address(self, progress: float) -> Item:
        return {
            "street": {"S": "Rue de l'Été 3"},
            "floor": {"N": self._number(progress)},
            "door": {"B": b"\x01\x02"},
            "bells": {"SS": self._some(["left", "right"])},
            "lines": {"L": [{"M": {"deep": {"L": [{"BOOL": False}]}}}]},
        }

    def _some(self, values: list[Any]) -> list[Any]:
        return self.random.sample(values, self.random.randrange(1, len(values) + 1))

    def _number(self, progress: float) -> str:
        """Integers first, then fractions, then 38 digits, then the far ends of the exponent."""
        digits = "".join(self.random.choices("123456789", k=38))
        ladder = [
            str(self.random.randrange(-1000, 1000)),
            str(self.random.randrange(-(2**63), 2**63)),
            f"{self.random.randrange(10**6)}.{self.random.randrange(1, 100):02}",
            f"-{digits[:25]}.{digits[25:34]}",
            digits,
            f"{digits[0]}.{digits[1:]}",
            f"{digits[0]}.{digits[1:]}E-92",
            f"-{digits[0]}.{digits[1:]}E+125",
        ]
        return self.random.choice(ladder[: 1 + int(progress * len(ladder))])
