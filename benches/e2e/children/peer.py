"""What people write today: boto3's parser, its TypeDeserializer, and pyarrow."""

import base64
import json
from decimal import Decimal
from typing import Any

import boto3
import pyarrow as pa
from boto3.dynamodb.types import Binary, TypeDeserializer

_deserializer = TypeDeserializer()


def plain(value: Any) -> Any:
    """What pyarrow takes: sets and `Binary` are types it does not know."""
    if isinstance(value, Binary):
        return bytes(value)
    if isinstance(value, set):
        return [plain(element) for element in value]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value


def item(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(_deserializer.deserialize(value)) for name, value in attributes.items()}


def batch(service: str, answer: dict[str, Any]) -> pa.Table:
    """The rows of a parsed answer as Arrow."""
    if service == "scan":
        return pa.Table.from_pylist([item(attributes) for attributes in answer["Items"]])
    if service == "streams":
        return pa.Table.from_pylist([change(record) for record in answer["Records"]])
    return pa.Table.from_pylist([delivery(service, record) for record in answer["Records"]])


def change(record: dict[str, Any]) -> dict[str, Any]:
    about = record["dynamodb"]
    row = item(about.get("NewImage") or about["Keys"])
    row["_op"] = record["eventName"]
    row["_sequence"] = about["SequenceNumber"]
    row["_event_id"] = record["eventID"]
    row["_time"] = about["ApproximateCreationDateTime"]
    return row


def delivery(service: str, record: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any]
    if service == "bytes":
        row = {"data": record["Data"]}
    elif service == "json":
        row = json.loads(record["Data"], parse_float=Decimal)
    else:
        inner = json.loads(record["Data"])
        image = inner["dynamodb"].get("NewImage") or inner["dynamodb"]["Keys"]
        row = item({name: _binary(value) for name, value in image.items()})
        row["_op"] = inner["eventName"]
    row["_sequence"] = record["SequenceNumber"]
    row["_partition_key"] = record["PartitionKey"]
    return row


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    return {"B": base64.b64decode(value["B"])} if "B" in value else value


def client(service: str, url: str) -> Any:
    return boto3.client(
        {"streams": "dynamodbstreams", "scan": "dynamodb"}.get(service, "kinesis"),
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


OPERATIONS = {"scan": "Scan"}


def operation(service: str) -> str:
    return OPERATIONS.get(service, "GetRecords")
