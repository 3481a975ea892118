"""Gated attention pooling over a patient's slices, trained on patients: a head on frozen features."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from data_setup.audit.baseline_features import slices_in_order
from functions.cross_validation.cohort import Cohort
from functions.runtime.device import set_seeds

HIDDEN, STEPS, BATCH, LR, WEIGHT_DECAY, DROPOUT, SEEDS = 32, 240, 32, 3e-3, 0.05, 0.25, 3


class GatedAttention(nn.Module):
    """Slices (B, S, D) → class logits (B, K): h_s = x_s + p_s, z = Σ_s a_s h_s, logits = W z + b.

    a = softmax over s of w · (tanh(V h_s) ⊙ σ(U h_s)); p_s is a learnt embedding of the slice's position. Source:
    Ilse et al. 2018, arXiv 1802.04712, Eq. 9.
    """

    def __init__(self, slices: int, width: int, num_classes: int):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(slices, width))
        self.v, self.u, self.w = nn.Linear(width, HIDDEN), nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)
        self.dropout, self.classifier = nn.Dropout(DROPOUT), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(x + self.positions)
        a = self.w(torch.tanh(self.v(h)) * torch.sigmoid(self.u(h))).softmax(dim=1)
        return self.classifier((a * h).sum(dim=1))


def attention_pooling(x: np.ndarray, cohort: Cohort):
    """A head as those of `benchmarks.transfer.heads`: features of slices → probabilities of a fold's patients."""
    return partial(_fit, in_order(x, cohort), cohort)


def in_order(x: np.ndarray, cohort: Cohort) -> np.ndarray:
    """(patients, S, D): each patient's slices from low to high, patients in the order of ids.

    S is the smallest number of slices of a patient; of a longer series, evenly spaced slices.
    """
    series = slices_in_order(cohort.table["path"].tolist(), cohort.keys).values()
    shortest = min(len(rows) for rows in series)
    return np.stack([x[np.array(rows)[np.linspace(0, len(rows) - 1, shortest).round().astype(int)]] for rows in series])


def _fit(x: np.ndarray, cohort: Cohort, tested: np.ndarray, seed: int) -> np.ndarray:
    """Mean probabilities of SEEDS networks, each after its last step.

    Features are standardised with the training patients.
    """
    _, labels, ids = cohort.patients(tested[:, None].astype(float))
    new = np.isin(ids, cohort.subjects[tested])
    mean, std = x[~new].mean(axis=(0, 1)), x[~new].std(axis=(0, 1)) + 1e-6
    slices = torch.from_numpy((x - mean) / std).float()
    targets, known, p = torch.from_numpy(labels), torch.from_numpy(np.flatnonzero(~new)), 0.0
    for number in range(SEEDS):
        set_seeds(1000 * seed + number)
        model = GatedAttention(slices.shape[1], slices.shape[2], len(cohort.class_names))
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        for _ in range(STEPS):
            rows = known[torch.randint(len(known), (BATCH,))]
            loss = nn.functional.cross_entropy(model(slices[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            p = p + model(slices[torch.from_numpy(new)]).softmax(dim=1).double().numpy() / SEEDS
    return p
