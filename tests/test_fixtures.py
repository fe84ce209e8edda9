"""The tests' own tools."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from services import Tables, Twin
from shardarrow.demo.emulator import Emulator

HERE = Path(__file__).parent

SKIPPING = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='later')\ndef test(): pass\n",
    "a call": "import pytest\ndef test(): pytest.skip('later')\n",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('later')\ndef test(f): pass\n",
    "an empty parameter set": "import pytest\n@pytest.mark.parametrize('x', [])\ndef test(x): pass\n",
    "a missing module": "import pytest\npytest.importorskip('there_is_no_such_module')\ndef test(): pass\n",
}
PASSING = {
    "an optional test": "import pytest\n@pytest.mark.optional('later')\ndef test(): pytest.skip('later')\n",
    "an expected failure": "import pytest\n@pytest.mark.xfail(reason='known')\ndef test(): assert 0\n",
}


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest with the plugin says about one file for each way to skip."""
    folder = tmp_path_factory.mktemp("skips")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    optional(reason): may be skipped\n")
    for how, source in (SKIPPING | PASSING).items():
        (folder / file_name(how)).write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "no_skips", "-p", "no:cacheprovider", "-rA", str(folder)]
    command.append("--continue-on-collection-errors")
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return run.stdout


def file_name(how: str) -> str:
    return f"test_{how.replace(' ', '_')}.py"


@pytest.mark.parametrize("how", SKIPPING)
def test_a_required_test_that_skips_fails(how: str, verdict: str) -> None:
    assert re.search(rf"^(FAILED|ERROR) {file_name(how)}", verdict, re.MULTILINE)


@pytest.mark.parametrize("how", PASSING)
def test_what_is_marked_may_skip(how: str, verdict: str) -> None:
    assert not re.search(rf"^(FAILED|ERROR) {file_name(how)}", verdict, re.MULTILINE)
    assert f"{file_name(how)} " in verdict


def test_the_users_aws_settings_are_out_of_reach() -> None:
    assert os.environ["AWS_CONFIG_FILE"] == os.devnull
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]


def test_the_emulator_puts_changes_on_a_stream(
    emulator: Emulator, tables: Tables, make_table: Callable[..., str]
) -> None:
    table = make_table(keys={"pk": "S", "sk": "N"})
    tables.put(table, {"pk": {"S": "a"}, "sk": {"N": "1"}, "n": {"N": "9" * 38}})
    assert tables.items(table) == [{"pk": {"S": "a"}, "sk": {"N": "1"}, "n": {"N": "9" * 38}}]
    streams = emulator.client("dynamodbstreams")
    arn = streams.list_streams(TableName=table)["Streams"][0]["StreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    [record] = streams.get_records(ShardIterator=iterator)["Records"]
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["Keys"] == {"pk": {"S": "a"}, "sk": {"N": "1"}}


def test_the_twin_rolls_a_shard_over(twin: Twin) -> None:
    dynamodb, streams = twin.client("dynamodb"), twin.client("dynamodbstreams")
    arn = dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]["LatestStreamArn"]
    rolled = twin.control("roll_over", table="orders", partition=0)
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    assert {shard["ShardId"]: shard.get("ParentShardId") for shard in shards} == {
        rolled["parent"]: None,
        rolled["children"][0]: rolled["parent"],
    }


def test_a_fault_of_the_twin_strikes_once(twin: Twin) -> None:
    dynamodb = twin.client("dynamodb")
    twin.inject("ListTables", {"kind": "error", "code": "ThrottlingException"})
    with pytest.raises(ClientError, match="ThrottlingException"):
        dynamodb.list_tables()
    assert dynamodb.list_tables()["TableNames"] == []


def test_a_command_that_the_twin_does_not_know_is_an_error(twin: Twin) -> None:
    with pytest.raises(ValueError, match="there_is_no_such_command"):
        twin.control("there_is_no_such_command")
