import pytest

from tests.survival import runs
from tests.survival.faults import count_calls


@pytest.fixture(scope="session")
def command(slices):
    """A run of three short epochs."""
    return runs.command(slices)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, command):
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    ended = runs.run(folder, *command, fault=count_calls)
    assert (ended.code, ended.err) == (0, "")
    return folder
