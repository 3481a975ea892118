import pytest
import torch

from functions.errors import UserError
from functions.model_memory import check_model_fits

CPU = torch.device("cpu")


@pytest.mark.parametrize(("optimizer", "sharded", "bytes_each"), [
    ("adamw", False, 16), ("adam", False, 16), ("sgd", False, 12), ("adamw", True, 4)])
def test_a_model_that_cannot_be_trained_here_is_refused_with_both_numbers(optimizer, sharded, bytes_each):
    check_model_fits(10**9, optimizer, CPU, bytes_each * 10**9, sharded)
    with pytest.raises(UserError, match=rf"1,000,000,000 parameters takes {bytes_each}\.0 GB") as error:
        check_model_fits(10**9, optimizer, CPU, bytes_each * 10**9 - 1, sharded)
    assert "--embedding_dim" in str(error.value)


def test_a_gpu_is_asked_for_its_own_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (160, 999))
    check_model_fits(10, "adamw", torch.device("cuda"), 0, False)
    with pytest.raises(UserError, match="11 parameters"):
        check_model_fits(11, "adamw", torch.device("cuda"), 10**12, False)
