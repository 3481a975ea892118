import threading

import pytest
import torch

from data_setup.similarity.workers import parallel_map


def test_pieces_come_back_in_order_and_torch_keeps_its_threads():
    before = torch.get_num_threads()
    within = parallel_map(lambda piece: (piece, torch.get_num_threads(), threading.current_thread().name), range(50))
    assert [piece for piece, _, _ in within] == list(range(50))
    assert {threads for _, threads, _ in within} == {1}
    assert torch.get_num_threads() == before


def test_an_error_is_the_callers():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        parallel_map(lambda piece: 1 / piece, [1, 0])
    assert torch.get_num_threads() == before
