"""What is in the built module, and what is not."""

from pathlib import Path

from shardarrow import _native


def test_nothing_of_the_switch_for_faults_is_in_it() -> None:
    """`src/broken.rs` is for the crate's own tests: with it on, this text would be in the module."""
    assert b"is not in broken::ALL" not in Path(_native.__file__).read_bytes()
