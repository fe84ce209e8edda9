"""The decoder beside its peers, one core each, by the processor time of their threads."""

from statistics import median

from processes import Worker
from report import Table

SHAPES = ["small", "medium", "wide"]


class Duel:
    """Measures the same workload with one contender after the other, round after round."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def seconds(self, sides: list[tuple[Worker, str, str]]) -> tuple[list[list[float]], list[int]]:
        """Of each side in each round, and the bytes of its workload."""
        found: list[list[float]] = [[] for _ in sides]
        sizes = [0 for _ in sides]
        for _ in range(self.rounds):
            for place, (worker, workload, contender) in enumerate(sides):
                measured = worker.measure(workload, contender)
                found[place].append(measured["seconds"])
                sizes[place] = measured["bytes"]
        return found, sizes


def ratio(mine: list[float], other: list[float]) -> float:
    return median(theirs / ours for ours, theirs in zip(mine, other, strict=True))


def rate(size: int, seconds: list[float]) -> float:
    return size / median(seconds) / 1e6


def against_dom(rust: Worker, rounds: int) -> Table:
    table = Table(
        "decode-dom",
        "Decoding beside building a tree",
        "Bytes a second of our decoder, which infers the schema, checks every byte and builds Arrow "
        "columns, beside\n"
        "sonic-rs building a tree of the same bytes and doing nothing with it.",
        ["ours MB/s", "sonic-rs MB/s"],
        "ratio",
    )
    for service in ["streams", "scan"]:
        for shape in [*SHAPES, "nested"]:
            ways = ["ours", "ours-old"] if service == "streams" else ["ours"]
            for way in ways:
                workload = f"{service}/{shape}"
                sides = [(rust, workload, way), (rust, workload, "dom")]
                (mine, other), (size, _) = Duel(rounds).seconds(sides)
                what = f"{service} {shape}" + (" with old images" if way == "ours-old" else "")
                found = ratio(mine, other)
                target = 0.8 if shape in SHAPES else None
                figures = [f"{rate(size, mine):.0f}", f"{rate(size, other):.0f}"]
                table.add(what, figures, found, f"{found:.2f}", target=target)
    return table


def against_sdk(rust: Worker, rounds: int, kinds: list[str]) -> Table:
    table = Table(
        "decode-sdk",
        "Decoding beside the AWS SDK for Rust",
        "The SDK's client reads the answer into its types; then columns that are known beforehand "
        "are built by\n"
        "arrow-rs, where maps, lists and sets are only counted.",
        ["ours MB/s", "SDK MB/s"],
        "times",
    )
    for service in kinds:
        for shape in SHAPES:
            workload = f"{service}/{shape}"
            (mine, other), (size, _) = Duel(rounds).seconds(
                [(rust, workload, "ours"), (rust, workload, "sdk")]
            )
            found = ratio(mine, other)
            figures = [f"{rate(size, mine):.0f}", f"{rate(size, other):.0f}"]
            target = 10.0 if service in {"streams", "scan"} else 7.0
            table.add(f"{service} {shape}", figures, found, f"{found:.1f}", target=target)
    return table


def against_boto3(rust: Worker, python: Worker, rounds: int, kinds: list[str]) -> Table:
    table = Table(
        "decode-boto3",
        "Decoding beside boto3",
        "boto3's parser, its `TypeDeserializer` and `pyarrow.Table.from_pylist`, on bytes that are "
        "in memory already.",
        ["ours MB/s", "boto3 MB/s"],
        "times",
    )
    for service in kinds:
        for shape in SHAPES:
            workload = f"{service}/{shape}"
            (mine, other), (size, _) = Duel(rounds).seconds(
                [(rust, workload, "ours"), (python, workload, "boto3")]
            )
            found = ratio(mine, other)
            figures = [f"{rate(size, mine):.0f}", f"{rate(size, other):.1f}"]
            target = 100.0 if service in {"streams", "scan"} else 45.0 if service == "dynamodb" else None
            table.add(f"{service} {shape}", figures, found, f"{found:.0f}", target=target)
    return table


def random_order(rust: Worker, rounds: int) -> Table:
    table = Table(
        "decode-order",
        "Attributes in random order",
        "Each item has its attributes in an order of its own, beside the same items in constant order.",
        ["constant MB/s", "random MB/s"],
        "ratio",
    )
    for service in ["streams", "scan"]:
        for shape in SHAPES:
            workload = f"{service}/{shape}"
            sides = [(rust, f"{workload}/shuffled", "ours"), (rust, workload, "ours")]
            (mine, other), (size, other_size) = Duel(rounds).seconds(sides)
            found = ratio(mine, other) * size / other_size
            figures = [f"{rate(other_size, other):.0f}", f"{rate(size, mine):.0f}"]
            table.add(f"{service} {shape}", figures, found, f"{found:.2f}", target=0.6)
    return table


# A third of what the prototype took, in microseconds.
FIXED = {"small": 6.7 / 3, "medium": 30 / 3, "wide": 102 / 3}


def fixed_cost(rust: Worker, rounds: int) -> Table:
    table = Table(
        "decode-fixed",
        "The smallest batches",
        "Decoding a page of one record or ten and taking the batch, from a decoder that has seen the "
        "table before,\n"
        "and from one that was just made.",
        ["new decoder"],
        "microseconds",
    )
    for shape in SHAPES:
        for records in [1, 10]:
            workload = f"streams/{shape}/{records}"
            (mine, fresh), _ = Duel(rounds).seconds([(rust, workload, "ours"), (rust, workload, "ours-new")])
            found = 1e6 * median(mine)
            what = f"{shape}, {records} record{'s' if records > 1 else ''}"
            target = round(FIXED[shape], 1) if records == 1 else None
            table.add(
                what, [f"{1e6 * median(fresh):.0f} µs"], found, f"{found:.1f} µs", target=target, most=True
            )
    return table
