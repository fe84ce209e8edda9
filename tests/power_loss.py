"""What a loss of power can leave of files: what was synced, and of the rest whatever reached the disk.

The journal that `fault_point.c` writes says what a process did to the files of a directory. From it the
directory is made anew as it may be after the power failed at any call. Of what was not synced since, each
write is there, is not there, or is there up to the end of a sector; sizes likewise. Names that were made or
removed since the directory was synced are there up to some point, in their order. Syncing a new file makes
its name durable and what happened to names before: journalling file systems keep one order of both.
"""

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

_ENTRY = struct.Struct("=IIIIq")
_SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One call: ``w``rite, ``t``runcate, ``s``ync, ``l``ink, ``r``ename, ``u``nlink."""

    kind: str
    name: str
    offset: int
    data: bytes


def steps(journal: Path) -> list[Step]:
    text, at, found = journal.read_bytes(), 0, []
    while at < len(text):
        kind, name, data, _, offset = _ENTRY.unpack_from(text, at)
        at += _ENTRY.size
        step = Step(chr(kind), text[at : at + name].decode(), offset, text[at + name : at + name + data])
        assert step.kind in "wtslru", f"{step.name}: a call that the journal does not know"
        found.append(step)
        at += name + data
    return found


@dataclass(eq=False)
class File:
    durable: bytes = b""
    pending: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        for step in self.pending:
            self.durable = applied(self.durable, step, len(step.data))
        self.pending.clear()

    def after_the_loss(self, chance: random.Random) -> bytes:
        content = self.durable
        for step in self.pending:
            if chance.random() < 0.5:
                continue
            whole = step.kind == "t" or chance.random() < 0.7
            length = len(step.data) if whole else chance.randrange(len(step.data) + 1) // _SECTOR * _SECTOR
            content = applied(content, step, length)
        return content


def applied(content: bytes, step: Step, length: int) -> bytes:
    if step.kind == "t":
        return content[: step.offset].ljust(step.offset, b"\0")
    before = content[: step.offset].ljust(step.offset, b"\0")
    return before + step.data[:length] + content[step.offset + length :]


class Disk:
    """The files of one directory, what is durable of them and what is not yet."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._durable: dict[str, File] = {}
        self._pending: list[dict[str, File]] = []
        """The names after each change that is not durable yet."""

    def take(self, step: Step) -> None:
        match step.kind:
            case "s" if step.name == ".":
                self._durable, self._pending = dict(self._names), []
            case "s":
                file = self._file(step.name)
                file.sync()
                self._keep_name_of(file)
            case "w" | "t":
                self._file(step.name).pending.append(step)
            case "l" | "r":
                other = step.data.decode()
                self._names[step.name] = self._names[other]
                if step.kind == "r":
                    del self._names[other]
                self._pending.append(dict(self._names))
            case _:
                self._names.pop(step.name, None)
                self._pending.append(dict(self._names))

    def _file(self, name: str) -> File:
        if name not in self._names:
            self._names[name] = File()
            self._pending.append(dict(self._names))
        return self._names[name]

    def _keep_name_of(self, file: File) -> None:
        if any(known is file for known in self._durable.values()):
            return
        for at, names in enumerate(self._pending):
            if any(known is file for known in names.values()):
                self._durable, self._pending = names, self._pending[at + 1 :]
                return

    def lose_power(self, directory: Path, chance: random.Random) -> None:
        """Writes into the directory what may be left."""
        names = chance.choice([self._durable, *self._pending])
        for name, file in names.items():
            (directory / name).write_bytes(file.after_the_loss(chance))
