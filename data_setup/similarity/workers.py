"""Parallel map over threads with one torch thread each: faster than torch's own threads for small pieces of work."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch


def parallel_map(work: Callable, pieces: Iterable) -> list:
    """[work(piece), …] in order, on as many threads as torch has, each of which uses one torch thread."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(threads)
