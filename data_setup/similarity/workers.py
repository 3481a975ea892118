"""Work spread over the cores: each thread one piece at a time, which torch's own threads do worse with small pieces."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch


def spread(work: Callable, pieces: Iterable) -> list:
    """[work(piece), …] in order, on as many threads as torch has, each of which gives torch but one."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(threads)
