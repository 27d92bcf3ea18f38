"""What libnftables says, turned into errors of ours; the rest needs a kernel."""

import errno

import pytest

from ductwork.errors import FailedPrecondition
from ductwork.kernel.nft import library
from ductwork.kernel.ports import KernelError


def test_a_missing_library_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LIBRARY", "libnosuch-nftables.so.9")
    library._require_library.cache_clear()
    try:
        with pytest.raises(FailedPrecondition, match=r"libnosuch-nftables.*; install libnftables1"):
            library.run_here("list tables", "listing")
    finally:
        library._require_library.cache_clear()


def test_a_process_with_all_low_descriptors_open_is_refused_and_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nftables")
    monkeypatch.setattr(library, "_FD_SETSIZE", 3)  # any new descriptor is above it
    with pytest.raises(KernelError, match="no file descriptor below 3 is free") as caught:
        library.run_here("list tables", "listing")
    assert caught.value.errno == errno.EMFILE


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        ("Error: Could not process rule: No such file or directory\nadd x\n    ^", errno.ENOENT),
        ("Error: Could not process rule: Operation not permitted", errno.EPERM),
        ("Error: syntax error, unexpected newline", errno.EINVAL),
    ],
)
def test_an_errno_is_found_in_the_words(complaint: str, code: int) -> None:
    assert library._errno_in(complaint) == code
