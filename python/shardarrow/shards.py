"""The shards of a stream, as a tree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """One ordered piece of a stream.

    Attributes:
        id: The service's name for it.
        parents: The shards whose records come before; empty when they are not listed any more.
        starting_sequence: Its first sequence number, if the service says so.
        ending_sequence: Its last one; `None` while it is open.
    """

    id: str
    parents: tuple[str, ...]
    starting_sequence: str | None
    ending_sequence: str | None

    @property
    def is_closed(self) -> bool:
        """Whether no more records will come."""
        return self.ending_sequence is not None


def tree(rows: list[tuple[str, list[str], str | None, str | None]]) -> list[Shard]:
    """Parents before their children, otherwise in the order of the listing."""
    shards = {row[0]: Shard(row[0], tuple(row[1]), row[2], row[3]) for row in rows}
    ordered: dict[str, Shard] = {}
    for shard in shards.values():
        pending = [shard]
        while pending:
            last = pending[-1]
            unseen = [shards[id_] for id_ in last.parents if id_ in shards and id_ not in ordered]
            if unseen and len(pending) <= len(shards):
                pending.append(unseen[0])
            else:
                ordered[pending.pop().id] = last
    return list(ordered.values())
