"""Counts the instructions of the decoder under valgrind, beside those that were written down.

count.py PROGRAM [--write]. It reports and never fails because of what it counted: another compiler or
processor counts differently, and whether more is worth it is for people to say.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

STORED = Path(__file__).parent / "instructions.json"
TOOLS = Path(__file__).parent.parent.parent / ".tools"
SERVICES = ["streams", "scan", "dynamodb", "json", "bytes"]
CASES = [
    *(f"{service}/{shape} ours" for service in SERVICES for shape in ["small", "medium", "wide", "nested"]),
    *(f"streams/{shape} ours-old" for shape in ["small", "medium", "wide", "nested"]),
    *(f"scan/{shape}/shuffled ours" for shape in ["small", "medium", "wide"]),
    *(f"streams/{shape}/1 ours" for shape in ["small", "medium", "wide"]),
]
# A change that is larger than this is pointed out.
WORTH_A_LOOK = 0.02
FEW, MANY = 2, 4


def valgrind() -> list[str]:
    """The command: the system's, or one unpacked from Debian's package, which takes no rights."""
    if found := shutil.which("valgrind"):
        return [found]
    unpacked = TOOLS / "valgrind"
    if not unpacked.exists():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "download", "valgrind"], cwd=folder, check=True)
            (package,) = Path(folder).glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", str(package), str(unpacked)], check=True)
    library = unpacked / "usr" / "libexec" / "valgrind"
    return ["env", f"VALGRIND_LIB={library}", str(unpacked / "usr" / "bin" / "valgrind.bin")]


def instructions(tool: list[str], program: str, case: str, passes: int) -> int:
    with tempfile.NamedTemporaryFile() as log:
        options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command = [*tool, *options, f"--log-file={log.name}", program, *case.split(), str(passes)]
        subprocess.run(command, check=True)
        found = re.search(rb"I\s+refs:\s+([\d,]+)", Path(log.name).read_bytes())
    if not found:
        raise RuntimeError(f"valgrind said nothing about {case}")
    return int(found[1].replace(b",", b""))


def count(tool: list[str], program: str, case: str) -> int:
    """Of one pass: what making the page takes is in both runs and falls out."""
    few, many = (instructions(tool, program, case, passes) for passes in (FEW, MANY))
    return (many - few) // (MANY - FEW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--write", action="store_true", help="write the counts down")
    given = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    tool, found, changed = valgrind(), {}, 0
    for case in CASES:
        found[case] = count(tool, given.program, case)
        before = stored.get(case)
        share = found[case] / before - 1 if before else 0.0
        changed += abs(share) > WORTH_A_LOOK
        mark = f"{share:+7.1%}" + (" <--" if abs(share) > WORTH_A_LOOK else "") if before else "    new"
        print(f"{case:32} {found[case]:>12,} {mark}", flush=True)
    if given.write:
        STORED.write_text(json.dumps(found, indent=1) + "\n")
    elif changed:
        print(f"{changed} of {len(CASES)} counts changed by more than {WORTH_A_LOOK:.0%}", file=sys.stderr)
        print("make count-write writes the new ones down", file=sys.stderr)


main()
