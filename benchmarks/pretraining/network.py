"""A small hybrid ViT that learns the quantities of generated brains."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.pretraining.acquisition import acquired
from benchmarks.pretraining.brains import Brains
from data_setup.phantom.shapes import HEIGHT, WIDTH
from data_setup.phantom.stripped import QUANTITIES
from functions.runtime.atomic_files import write_atomically
from functions.runtime.device import set_seeds
from functions.runtime.errors import UserError
from functions.runtime.progress import Progress
from functions.training.optimisation import make_optimizer
from functions.training.schedules import make_schedule
from models.config import HybridConfig
from models.hybrid import HybridViT

# tokens of 16x16 pixels from the root of a ResNet; 502,280 parameters
CONFIG = HybridConfig(image_size=(HEIGHT, WIDTH), patch_size=16, in_channels=1, num_classes=len(QUANTITIES),
                      num_layers=4, embedding_dim=96, num_heads=4, mlp_size=384, units=(), stem_patch=4, stem_width=32)
BATCH, LR, WEIGHT_DECAY = 64, 1e-3, 0.05
HIPPOCAMPUS, LEVEL, SHOWN_BELOW = QUANTITIES.index("hippocampus"), QUANTITIES.index("level"), 0.42


def standard(quantities: Tensor) -> Tensor:
    """Quantities of the training people in units of their SD from their mean."""
    return (quantities - quantities.mean(dim=0)) / quantities.std(dim=0)


def untrained(seed: int = 0) -> HybridViT:
    """The network as it is initialised."""
    set_seeds(seed)
    return HybridViT(CONFIG).eval()


def load_network(file: Path) -> HybridViT:
    """A network that `pretrain` wrote; UserError if there is none, or if it is damaged."""
    if not file.exists():
        raise UserError(f"{file} does not exist: python -m benchmarks pretraining writes it")
    model = untrained()
    try:
        model.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{file} is damaged, or no network of this kind ({str(error).splitlines()[0]}): remove it, and "
                        "python -m benchmarks pretraining trains it again") from None
    return model


def pretrain(brains: Brains, steps: int, seed: int, vary: bool, file: Path) -> HybridViT:
    """The network trained for `steps` batches of slices by the mean squared error of all QUANTITIES, saved as FILE.

    The hippocampus counts only in slices that show it.
    """
    model = untrained(seed)
    images, wanted = brains.slices, brains.wanted
    shown = torch.ones_like(wanted)
    shown[:, HIPPOCAMPUS] = (wanted[:, LEVEL] < SHOWN_BELOW).float()
    wanted = standard(wanted)
    generator = torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        while True:
            rows = torch.randint(len(images), (BATCH,), generator=generator)
            yield ((model(acquired(images[rows], generator, vary)) - wanted[rows]).square() * shown[rows]).mean()

    minimise(model, losses(), steps, LR, WEIGHT_DECAY, file.stem)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda out: out.write(save(model.state_dict())))
    return model.eval()


def minimise(model: nn.Module, losses: Iterable[Tensor], steps: int, lr: float, weight_decay: float,
             name: str) -> list[float]:
    """Trains `model` by AdamW on `steps` of `losses`, an iterator that computes each in turn; returns their values.

    Cosine schedule after a warm-up over a tenth of the steps, gradients clipped at norm 1; the progress is shown with
    `name`.
    """
    optimizer = make_optimizer(model, "adamw", lr, weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", 1, steps, 0.1))
    progress, values = Progress(name, steps, unit="step"), []
    model.train()
    for loss in islice(losses, steps):
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        progress.update(1)
        values.append(loss.item())
    progress.close()
    return values


def explained(model: HybridViT, brains: Brains) -> np.ndarray:
    """Squared correlation of each output with its quantity, on slices of other people with a random acquisition."""
    found = outputs(model, acquired(brains.slices, torch.Generator().manual_seed(0), vary=True))
    return np.array([np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(found.T, brains.wanted.numpy().T, strict=True)])


def outputs(model: HybridViT, images: Tensor) -> np.ndarray:
    """The network's outputs (n, 8) for standardised images (n, 1, H, W)."""
    return _in_batches(model, images)


def class_tokens(model: HybridViT, images: Tensor) -> np.ndarray:
    """y of Eq. 4, the normed class token (n, D), for standardised images (n, 1, H, W)."""
    return _in_batches(lambda x: model.norm(model.encoder(model.patch_embedding(x), tokens=1)[:, 0]), images)


def _in_batches(network, images: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([network(part) for part in images.split(256)]).double().numpy()
