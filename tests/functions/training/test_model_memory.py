import pytest
import torch

from functions.runtime.errors import UserError
from functions.training.model_memory import check_model_fits


def test_an_average_of_the_weights_is_counted():
    check_model_fits(10**9, "adamw", torch.device("cpu"), 20 * 10**9, False, averaged=True)
    with pytest.raises(UserError, match=r"takes 20\.0 GB for weights, gradients, average and adamw's state"):
        check_model_fits(10**9, "adamw", torch.device("cpu"), 20 * 10**9 - 1, False, averaged=True)


@pytest.mark.parametrize(("optimizer", "device", "sharded", "bytes_each"), [
    ("adamw", "cpu", False, 16), ("adam", "cpu", False, 16), ("sgd", "cpu", False, 12), ("adamw", "cpu", True, 4),
    ("adamw", "cuda", False, 4)])
def test_a_model_that_cannot_be_trained_here_is_refused_with_both_numbers(optimizer, device, sharded, bytes_each):
    device = torch.device(device)
    check_model_fits(10**9, optimizer, device, bytes_each * 10**9, sharded)
    with pytest.raises(UserError, match=rf"1,000,000,000 parameters takes {bytes_each}\.0 GB") as error:
        check_model_fits(10**9, optimizer, device, bytes_each * 10**9 - 1, sharded)
    assert "--embedding_dim" in str(error.value)
