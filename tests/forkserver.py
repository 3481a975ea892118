"""Processes forked from one that has loaded torch and computed no gradient, so that a run starts at once.

A process that has computed a gradient must not fork (torch.autograd's threads), and pytest's has.
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.forkserver
import os
from unittest import mock

from tests.conftest import ROOT

LOADED = ["train", "train_transferlearning", "evaluate", "audit", "functions.training_run", "functions.reporting",
          "functions.optimizers", "functions.features", "functions.evaluation_report", "functions.audit_report",
          "functions.checkpoints", "data_setup.run_data", "data_setup.predict_data", "data_setup.audit",
          "data_setup.phantom_ceiling", "models", "models.transfer", "models.pretrained", "sklearn.metrics",
          "sklearn.linear_model", "matplotlib.backends.backend_agg", "scipy.optimize", "torch.utils.data",
          "torch._dynamo", "yaml", "PIL.Image", "pytest"]


@functools.cache
def fork_context(*first):
    """The multiprocessing context of these processes; the modules `first` are imported before all others."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*first, *LOADED])
    with contextlib.chdir(ROOT), mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        multiprocessing.forkserver.ensure_running()
    return context
