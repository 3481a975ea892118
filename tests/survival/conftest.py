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
    return runs.undisturbed(tmp_path_factory.mktemp("whole"), command, count_calls)
