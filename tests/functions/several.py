"""One training in one process or several, for the tests of these."""

import torch
from torch import nn

from data_setup.loading.batches import Batches
from data_setup.loading.distributed_batches import epoch_seed
from functions import engine
from functions.checkpointing.checkpoint import frozen_digest, load_checkpoint, make_checkpoint, restore, save_checkpoint
from functions.epoch_metrics import EpochSums
from functions.runtime import distributed
from functions.runtime.device import autocast, set_seeds
from functions.runtime.errors import UserError
from functions.runtime.sharding import full_state, shard
from functions.training.averaging import WeightAverage
from functions.training.optimisation import CrossEntropy, make_optimizer
from functions.training.schedules import make_schedule
from models import ViT, ViTConfig
from tests.functions.plain import curves

CPU = torch.device("cpu")
IMAGES, EPOCHS, SIZE = 37, 4, 4      # 37 images in steps of 8: 5 are left over, which two cannot share evenly
GRAY = {"image_size": [8, 8], "channels": 1, "mean": [0.5], "std": [0.5]}


class Pictures:
    """Random images in memory, as a SliceDataset holds them."""

    def __init__(self, count):
        generator = torch.Generator().manual_seed(count)
        self.pixels = torch.randn(count, 1, 8, 8, generator=generator)
        self.labels = torch.randint(3, (count,), generator=generator)

    def __len__(self):
        return len(self.labels)

    def __getitems__(self, places):
        return self.pixels[places], self.labels[places]


def as_soft_targets(images, labels, count):
    """In the place of Mixing: images as they are, labels (B,) as targets (B, K), of padding zeros."""
    return images, nn.functional.one_hot(labels.clamp(min=0), 3).float() * (torch.arange(len(labels)) < count)[:, None]


def trained(batch_size, accumulation=1, way="ddp"):
    """(checkpoint, train scores, test scores) of EPOCHS · 5 steps, deterministic but for the order of sums.

    An average of the weights is scored. The labels of accumulated batches are soft targets.
    """
    set_seeds(1)
    model = small_vit()
    if way == "shard":
        shard(model, model.encoder)
    # not AdamW: it divides a gradient by its own size, also the key bias's, which is nothing but rounding
    optimizer, average = make_optimizer(model, "sgd", lr=0.3, weight_decay=1e-3), WeightAverage(model, 0.8)
    soft = as_soft_targets if way == "accumulate" else None
    train, test = (Batches(Pictures(count), batch_size, shuffle, nn.Identity(), CPU, mixing=mixing)
                   for count, shuffle, mixing in ((IMAGES, True, soft), (13, False, None)))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", EPOCHS, 5, 0.1))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss_fn = CrossEntropy(torch.tensor([0.5, 1.0, 2.0]), reduction="none", label_smoothing=0.1)
    seen = []
    history = engine.train(model, train, test, optimizer, loss_fn, EPOCHS, CPU, scheduler=scheduler, scaler=scaler,
                           clip_norm=1.0, accumulation=accumulation, after_epoch=lambda *told: seen.append(told[1]),
                           after_step=average.update, scoring=average.applied)
    checkpoint = make_checkpoint(model, optimizer, scheduler, scaler, epoch=EPOCHS, history=history, best={},
                                 class_names=["a", "b", "c"], preprocessing=GRAY, split_hash="", fingerprint="",
                                 stamps=[])
    scores = {split: {"confusion": result.confusion, "loss": result.loss} for split, result in seen[-1].items()}
    return {"checkpoint": checkpoint, "steps": scheduler.last_epoch, "scores": scores,
            "probabilities": seen[-1]["test"].probabilities, "labels": seen[-1]["test"].labels}


def sharded_and_resumed(file):
    """A sharded network, part of it frozen, trained by AdamW for two epochs and two more, with and without a stop.

    ({name: (without, with)} of the weights at the end, whether each process knows the hash of the frozen part).
    """
    ended = []
    for stop in (False, True):
        set_seeds(2)
        model = small_vit()
        model.patch_embedding.requires_grad_(False)
        digest = frozen_digest(model)
        parts = started(model)
        one_pass(model, *parts)
        one_pass(model, *parts)
        if stop:
            save_checkpoint(file, make_checkpoint(model, *parts[1:], epoch=2, history=curves(2), best={"epoch": 1},
                                                  class_names=["a", "b", "c"], preprocessing=GRAY, split_hash="",
                                                  fingerprint="", stamps=[],
                                                  frozen=digest))
            distributed.barrier()
            torch.manual_seed(99)                    # from here on nothing is left of the first two epochs
            after = small_vit()
            after.load_state_dict(full_state(model.state_dict(), everywhere=True))
            with torch.no_grad():
                for part in (after.encoder, after.norm, after.classifier):
                    for p in part.parameters():
                        p.zero_()
            after.patch_embedding.requires_grad_(False)
            model, parts = after, started(after)
            restore(load_checkpoint(file), model, *parts[1:])
        one_pass(model, *parts)
        one_pass(model, *parts)
        ended.append(full_state(model.state_dict(), everywhere=True))
    seen = distributed.all_gather(torch.tensor([float(frozen_digest(model) == digest)]))
    return {name: (value, ended[1][name]) for name, value in ended[0].items()}, seen


def small_vit():
    model = ViT(ViTConfig(image_size=8, patch_size=4, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                          mlp_size=20, num_classes=3))
    nn.init.normal_(model.classifier.weight, std=0.3)
    return model


def started(model):
    """(batches, optimiser, schedule, scaler) of a sharded model."""
    shard(model, model.encoder)
    optimizer = make_optimizer(model, "adamw", lr=1e-2, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", 4, 5, 0.1))
    return (Batches(Pictures(IMAGES), SIZE, True, nn.Identity(), CPU), optimizer, scheduler,
            torch.amp.GradScaler("cpu", enabled=False))


def one_pass(model, batches, optimizer, scheduler, scaler):
    engine.train_step(model, batches, nn.CrossEntropyLoss(reduction="none"), optimizer, CPU, scheduler=scheduler,
                      scaler=scaler, clip_norm=1.0)


def sharded_in_bf16():
    """(a block's matrices and norms are bf16 and fp32 while it runs; they and their gradients are fp32 outside; the
    logits are those of the whole model under autocast, bit for bit)."""
    set_seeds(3)
    model, seen = small_vit(), []
    nn.init.normal_(model.classifier.weight)
    pictures = Pictures(4)
    with autocast("bf16", CPU):
        expected = model(pictures.pixels).detach()
    shard(model, model.encoder, "bf16")
    model.encoder[0].mlp_block.register_forward_pre_hook(lambda block, _: seen.append(block.mlp[0].weight.dtype))
    model.encoder[0].mlp_block.norm.register_forward_pre_hook(lambda norm, _: seen.append(norm.weight.dtype))
    with autocast("bf16", CPU):
        logits = model(pictures.pixels)
    loss = nn.functional.cross_entropy(logits.float(), pictures.labels)
    loss.backward()
    outside = {p.dtype for p in model.parameters()} | {p.grad.dtype for p in model.parameters()}
    return seen == [torch.bfloat16, torch.float32], outside == {torch.float32}, torch.equal(logits, expected)


def talk():
    """What each process (a row each) knows after one exchange of every kind, having begun with its own number."""
    me = distributed.rank()
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(me + 5.0)
    distributed.broadcast_buffers(norm)
    sums = EpochSums(CPU, "training")
    sums.first_bad_step.fill_(7.0 - me)
    try:
        sums.add(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor(1.0 + me), step=0)
        bad = sums.scores().loss
    except UserError as error:
        bad = float(str(error).split("step ")[1].split()[0])
    torch.manual_seed(me)
    number = epoch_seed(CPU)
    torch.manual_seed(3)
    after = epoch_seed(CPU), torch.rand(()).item()
    known = {"buffer": norm.running_mean.item(), "value": distributed.broadcast(me + 5), "bad": bad, "number": number,
             "same": after[0], "drawn": after[1]}
    return {name: distributed.all_gather(torch.tensor([value], dtype=torch.float64)) for name, value in known.items()}


def everything(file, ways):
    """All of the above in one of several processes; process 0 saves it."""
    distributed.join(CPU)
    told = talk()
    results = {way: trained(SIZE // (2 if way == "accumulate" else 1), 2 if way == "accumulate" else 1, way)
               for way in ways}
    results["told"] = told
    results["bf16"] = sharded_in_bf16()
    results["resumed"] = sharded_and_resumed(f"{file}.checkpoint")
    if distributed.is_main():
        torch.save(results, file)
    distributed.leave()
