"""URLs in the form of CrateDB's toolkit, read into our options."""

import json

import pytest

import shardarrow as sa
from services import Twin
from shardarrow.url import toolkit

SCHEME = "kinesis+dynamodb+cdc://"
WHOLE = (
    f"{SCHEME}AKIAHIDDEN:hidden/+secret@localhost:4566/orders-cdc?region=eu-central-1&batch-size=500"
    "&create=true&create-shards=4&start=latest&idle-sleep=0.25&buffer-time=1.5"
)


def test_every_option_has_its_counterpart() -> None:
    read = toolkit(WHOLE)
    assert read.stream == "orders-cdc"
    assert read.source == {
        "format": "dynamodb",
        "access_key_id": "AKIAHIDDEN",
        "secret_access_key": "hidden/+secret",
        "endpoint_url": "http://localhost:4566",
        "region": "eu-central-1",
        "start": "latest",
    }
    assert read.reading == {"batch_rows": 500, "poll_interval": 0.25, "batch_wait": 1.5}
    assert read.create_shards == 4


def test_the_host_aws_is_the_service_itself_and_keys_may_be_left_out() -> None:
    read = toolkit(f"{SCHEME}aws/orders-cdc?region=us-east-1")
    assert read.source == {"format": "dynamodb", "region": "us-east-1"}
    assert (read.reading, read.create_shards) == ({}, None)
    assert toolkit(f"{SCHEME}KEY:SECRET@aws/orders-cdc").source["access_key_id"] == "KEY"


def test_percent_signs_are_undone_in_keys_and_names() -> None:
    read = toolkit(f"{SCHEME}K%3AY:s%40t%2Fu@h:1/a%2Db/")
    assert (read.source["access_key_id"], read.source["secret_access_key"]) == ("K:Y", "s@t/u")
    assert read.stream == "a-b"


def test_a_shard_count_creates_nothing_by_itself() -> None:
    assert toolkit(f"{SCHEME}h/s?create-shards=3").create_shards is None
    assert toolkit(f"{SCHEME}h/s?create=true").create_shards == 1
    assert toolkit(f"{SCHEME}h/s?create=false&create-shards=3").create_shards is None


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("start=earliest", "earliest"),
        ("start=seqno-at&seqno=42", sa.at(42)),
        ("seqno=0042&start=seqno-after", sa.after("0042")),
    ],
)
def test_every_start(query: str, start: object) -> None:
    assert toolkit(f"{SCHEME}h/s?{query}").source["start"] == start


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("kinesis://orders", TOOLKIT := "kinesis+dynamodb+cdc"),
        (f"{SCHEME}orders", "host and a stream"),
        (f"{SCHEME}/orders", "host and a stream"),
        (f"{SCHEME}aws/?region=x", "host and a stream"),
        (f"{SCHEME}hidden@aws/orders", "KEY:SECRET@"),
        (f"{SCHEME}:hidden@aws/orders", "KEY:SECRET@"),
        (f"{SCHEME}h/s?start=foo", "start='foo'"),
        (f"{SCHEME}h/s?start=seqno-at", "seqno"),
        (f"{SCHEME}h/s?start=seqno-at&seqno=x", "sequence number"),
        (f"{SCHEME}h/s?seqno=1", "start=seqno-at"),
        (f"{SCHEME}h/s?batch-size=many", "batch-size"),
        (f"{SCHEME}h/s?create=maybe", "create"),
        (f"{SCHEME}h/s?batch-size=0", "batch-size=0"),
        (f"{SCHEME}h/s?create-shards=0", "create-shards"),
        (f"{SCHEME}h/s?once=true", "--once"),
        (f"{SCHEME}h/s?checkpointer=cratedb", "keeps its checkpoint"),
        (f"{SCHEME}h/s?idle-sleep=-1", "idle-sleep"),
        (f"{SCHEME}h/s?buffer_time=1", "did you mean 'buffer-time'"),
        (f"{SCHEME}h/s?region", "region"),
    ],
)
def test_what_cannot_be_read_is_named(url: str, named: str) -> None:
    with pytest.raises(sa.UsageError) as caught:
        toolkit(url)
    assert named in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_the_credentials_are_in_no_repr_and_in_no_error() -> None:
    assert "hidden" not in repr(toolkit(WHOLE)).lower()
    for broken in (WHOLE + "&typo=1", WHOLE.replace("/orders-cdc", "/"), WHOLE + "&start=latest"):
        with pytest.raises(sa.UsageError) as caught:
            toolkit(broken)
        assert "hidden" not in str(caught.value).lower()


def test_it_is_a_source_like_any_other() -> None:
    assert repr(sa.source(f"{SCHEME}aws/orders-cdc")) == "kinesis('orders-cdc', format='dynamodb')"
    source = sa.source(WHOLE)
    assert "hidden" not in repr(source).lower()
    config = json.loads(str(source.stream(memory_limit="100MB")._config))
    assert config["source"]["kinesis"]["stream"] == "orders-cdc"
    assert config["source"]["kinesis"]["create_shards"] == 4
    assert config["source"]["kinesis"]["connection"]["endpoint_url"] == "http://localhost:4566"
    assert config["decode"]["format"] == "dynamodb"
    found = [config["stream"][name] for name in ("start", "batch_rows", "poll_interval", "batch_wait")]
    assert found == ["latest", 500, 0.25, 1.5]
    assert config["stream"]["memory_limit"] == 100_000_000
    given = json.loads(str(source.stream(batch_rows=7)._config))
    assert given["stream"]["batch_rows"] == 7, "what is given stands above what the URL says"


def test_the_stream_is_made_and_read(twin: Twin) -> None:
    host = twin.endpoint_url.removeprefix("http://")
    twin.control("knobs", set={"kinesis": {"creating_ms": 500}})
    source = sa.source(f"{SCHEME}KEY:SECRET@{host}/fresh?region=eu-west-1&create=true&create-shards=3")
    assert source.read(settle=0.1, poll_interval=0.05).num_rows == 0
    assert len(twin.client("kinesis").list_shards(StreamName="fresh")["Shards"]) == 3
    missing = sa.source(f"{SCHEME}KEY:SECRET@{host}/other?region=eu-west-1")
    with pytest.raises(sa.NotFoundError, match="other"):
        missing.read()
