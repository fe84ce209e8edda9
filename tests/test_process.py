"""A process and its streams: leaving in the middle, forking, Ctrl-C. Each in an interpreter of its own."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from services import Tables
from shardarrow.demo.emulator import Emulator

Run = Callable[..., subprocess.CompletedProcess[str]]

OPENING = """
import asyncio, os, signal, sys, threading, time
import shardarrow as sa
source = sa.dynamodb(sys.argv[1], start="earliest", endpoint_url=sys.argv[2])
"""


def command(table: str, emulator: Emulator, code: str) -> list[str]:
    whole = OPENING + textwrap.dedent(code)
    return [sys.executable, "-W", "error", "-X", "faulthandler", "-c", whole, table, emulator.endpoint_url]


@pytest.fixture
def run(emulator: Emulator, make_table: Callable[..., str], tables: Tables) -> Run:
    """Runs code that has a `source` of 20 changes."""
    table = make_table()
    tables.put(table, *({"pk": {"S": str(number)}} for number in range(20)))

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(table, emulator, code), capture_output=True, text=True, timeout=60, check=False
        )

    return run


LEAVING = {
    "inside the block": """
        stream = source.stream(batch_rows=1).__enter__()
        next(stream)
    """,
    "while opening": """
        stream = source.stream()
        stream._begin()
    """,
    "by sys.exit in async code": """
        async def main():
            async with source.stream(batch_rows=1) as stream:
                async for batch in stream:
                    sys.exit(0)
        asyncio.run(main())
    """,
    "with a task that waits": """
        async def main():
            stream = await source.stream().__aenter__()
            await anext(stream)
            asyncio.ensure_future(stream.__anext__())
            while not stream._waiting.locked(): await asyncio.sleep(0)
        asyncio.run(main())
    """,
    "with a daemon thread that waits": """
        stream = source.stream().__enter__()
        def consume():
            try:
                for batch in stream: pass
            except sa.ClosedError: pass
        next(stream)
        threading.Thread(target=consume, daemon=True).start()
        while not stream._waiting.locked(): pass
    """,
    "with batches kept and never used": """
        stream = source.stream(batch_rows=1).__enter__()
        sys.kept = [next(stream) for _ in range(5)]
    """,
}


@pytest.mark.parametrize("how", LEAVING)
def test_leaving_in_the_middle_is_no_crash(how: str, run: Run) -> None:
    ended = run(LEAVING[how])
    said = [line for line in ended.stderr.splitlines() if "Fatal" in line or "panicked" in line]
    assert (ended.returncode, said) == (0, []), ended.stderr


@pytest.mark.bulk
def test_many_processes_leave_in_the_middle(run: Run, scale: Callable[[int], int]) -> None:
    codes = [code for _, code in zip(range(scale(100)), list(LEAVING.values()) * 100, strict=False)]
    with ThreadPoolExecutor(4) as pool:
        assert [ended.returncode for ended in pool.map(run, codes)] == [0] * len(codes)


def test_a_stream_refuses_after_a_fork(run: Run) -> None:
    ended = run("""
        with source.stream(batch_rows=1, follow=False, settle=0.2) as stream:
            next(stream)
            child = os.fork()
            if child == 0:
                said = []
                for action in (lambda: next(stream), stream.metrics, lambda: source.read()):
                    try:
                        action()
                    except sa.ClosedError as error:
                        said.append("fork" in str(error))
                del stream
                os.write(1, f"{said}\\n".encode())
                os._exit(0)
            os.waitpid(child, 0)
            print(sum(1 for _ in stream))
    """)
    assert ended.stdout.splitlines() == ["[True, True, True]", "19"], ended.stderr


def test_a_child_uses_batches_while_the_threads_of_its_parent_read_on(run: Run) -> None:
    """The allocator's locks must not be held for ever in a child."""
    ended = run("""
        import pyarrow
        batches = list(source.stream(batch_rows=1, follow=False, settle=0.2).__enter__())
        busy = source.stream(batch_rows=1, poll_interval=0.001).__enter__()
        for _ in range(100):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                rows = sum(pyarrow.record_batch(batch).num_rows for batch in batches)
                del batches
                os._exit(0 if rows == 20 else 1)
            assert os.waitpid(child, 0)[1] == 0
        print(sum(1 for _, batch in zip(range(20), busy)))
    """)
    assert ended.stdout == "20\n", ended.stderr


def test_a_child_may_open_its_own_stream_when_the_parent_used_none(run: Run) -> None:
    ended = run("""
        child = os.fork()
        if child == 0:
            print(len(source.read(settle=0.2)), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert ended.stdout == "20\n", ended.stderr


@pytest.mark.parametrize("form", ["plain", "async", "opening", "commit"])
def test_ctrl_c_ends_a_wait(form: str, emulator: Emulator, make_table: Callable[..., str]) -> None:
    code = {
        "plain": """
            with source.stream() as stream:
                print("ready", flush=True)
                for batch in stream: pass
        """,
        "async": """
            async def main():
                async with source.stream() as stream:
                    print("ready", flush=True)
                    async for batch in stream: pass
            asyncio.run(main())
        """,
        "opening": """
            import socket
            silent = socket.create_server(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            print("ready", flush=True)
            with sa.dynamodb("orders", start="latest", endpoint_url=url).stream() as stream: pass
        """,
        "commit": """
            with source.stream(commit="manual") as stream:
                print("ready", flush=True)
                while True: stream.commit()
        """,
    }[form]
    with subprocess.Popen(
        command(make_table(), emulator, code), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert "\nKeyboardInterrupt\n" in said
    assert process.returncode in {-signal.SIGINT, 130, 1}


def test_no_thread_is_left_when_nothing_was_opened() -> None:
    code = "import shardarrow, os; print(len(os.listdir('/proc/self/task')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "1\n"


def test_an_idle_stream_uses_hardly_any_cpu(run: Run) -> None:
    ended = run("""
        with source.stream(batch_rows=1000) as stream:
            next(stream)
            before = time.process_time()
            assert stream._take(2.0) is None
            print(time.process_time() - before)
    """)
    assert float(ended.stdout) < 0.1, ended.stderr
