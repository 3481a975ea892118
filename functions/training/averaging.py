"""An exponential moving average of the weights (--ema), which is scored and selected in place of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from functions.checkpointing.checkpoint import frozen_names
from functions.checkpointing.schema import check_shapes
from functions.runtime.distributed import broadcast_buffers, is_sharded
from functions.runtime.errors import UserError
from functions.runtime.sharding import distribute_like, full_state


class WeightAverage:
    """ā_{t+1} = d ā_t + (1 - d) a_{t+1}, ā_0 = a_0, with d = min(decay, (1 + t) / (10 + t)) and a_t after step t.

    The bound on d, as in TensorFlow's ExponentialMovingAverage, keeps the initial weights out of the average of a short
    run. Trained parameters are averaged, and with them the running statistics of BatchNorm, as in
    torchvision's references; frozen tensors are not copied. (torch's AveragedModel would copy them, and would wait for
    the GPU at every step.)
    """

    def __init__(self, model: nn.Module, decay: float):
        frozen = frozen_names(model)
        parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        statistics = {name: buffer for name, buffer in model.named_buffers()
                      if buffer.is_floating_point() and name not in frozen}
        self.model, self.decay, self.updates = model, decay, 0
        self.groups = [group for group in (parameters, statistics) if group]      # of one kind of tensor, if sharded
        self.own = parameters | statistics                                        # share their memory with the model
        self.averages = {name: value.clone() for name, value in self.own.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after an optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for group in self.groups:
            get_ema_multi_avg_fn(decay)([self.averages[name] for name in group], list(group.values()), self.updates)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which the model has the averages, equal in all processes, in place of its own weights."""
        self._swap()
        broadcast_buffers(self.model)
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        if is_sharded(self.model):
            self.model.reshard()  # type: ignore[operator]     # or it would go on with weights gathered before
        for name, own in self.own.items():
            kept = own.clone()
            own.copy_(self.averages[name])
            self.averages[name].copy_(kept)

    def add_to(self, checkpoint: dict) -> dict:
        """A checkpoint with the averages as its weights; those from which the run is resumed are under "unaveraged".

        If the weights are sharded, all processes must call it.
        """
        averages, weights = full_state(self.averages), checkpoint["weights"]
        own = {"weights": {name: weights[name] for name in averages}, "updates": self.updates}
        return checkpoint | {"weights": weights | averages, "unaveraged": own}

    def restore(self, checkpoint: dict) -> None:
        """Restores the averages and their count; the model itself is restored by functions.checkpointing.

        Raises UserError if the checkpoint has no averages, or those of other weights.
        """
        if not checkpoint["unaveraged"]:
            raise UserError("its weights are no averages, but the run's setting ema asks for them")
        try:
            check_shapes(checkpoint["unaveraged"]["weights"], self.own)
        except UserError as error:
            raise UserError(f"unaveraged.{error}") from None
        for name, average in self.averages.items():
            average.copy_(distribute_like(checkpoint["weights"][name], average))
        self.updates = checkpoint["unaveraged"]["updates"]
