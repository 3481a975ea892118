import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from functions import engine
from functions.runtime.device import set_seeds
from functions.runtime.errors import UserError
from functions.training.optimisation import make_optimizer
from models import ViT, ViTConfig

CPU = torch.device("cpu")


def make_model(**overrides):
    set_seeds(1)
    config = {"image_size": 8, "patch_size": 4, "in_channels": 1, "num_layers": 2, "embedding_dim": 12, "num_heads": 3,
              "mlp_size": 20, "num_classes": 3} | overrides
    model = ViT(ViTConfig(**config))
    nn.init.normal_(model.classifier.weight, std=0.3)
    return model


@pytest.fixture
def images():
    return torch.randn(11, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])


def batches(images, labels, size):
    return list(zip(images.split(size), labels.split(size), strict=True))


@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 2.5])])
@pytest.mark.parametrize("size", [1, 4, 11])
def test_scores_do_not_depend_on_how_batches_are_cut(images, labels, size, weight):
    """11 images in fours leave a batch of three: a mean of batch means would be wrong, also with class weights."""
    model = make_model().eval()
    loss_fn = nn.CrossEntropyLoss(weight, reduction="none", label_smoothing=0.1)
    result = engine.test_step(model, batches(images, labels, size), loss_fn, CPU)
    with torch.no_grad():
        logits = model(images)
    predicted = logits.argmax(1)
    assert result.loss == pytest.approx(loss_fn(logits, labels).mean().item(), rel=1e-5)
    assert result.acc == pytest.approx((predicted == labels).float().mean().item())
    recalls = [(predicted[labels == k] == k).float().mean().item() for k in range(3)]
    assert result.balanced_acc == pytest.approx(sum(recalls) / 3)
    torch.testing.assert_close(result.probabilities, logits.softmax(1))
    assert torch.equal(result.labels, labels)
    expected = [[sum((labels == t) & (predicted == p)).item() for p in range(3)] for t in range(3)]
    assert result.confusion.tolist() == expected


def test_scoring_leaves_weights_and_random_numbers_alone(images, labels):
    model = make_model(dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    engine.test_step(model, batches(images, labels, 4), nn.CrossEntropyLoss(), CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.5)


@pytest.mark.parametrize(("size", "accumulation"), [(4, 3), (2, 6), (3, 4), (11, 1)])
def test_accumulated_batches_are_one_large_batch(images, labels, size, accumulation):
    """All 11 images make one step, whatever the pieces; the last piece is short and must weigh what it holds."""
    loss_fn = nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 2.5]), reduction="none")
    model = make_model()
    engine.train_step(model, batches(images, labels, size), loss_fn, sgd(model), CPU, accumulation=accumulation)
    whole = make_model()
    loss_fn(whole(images), labels).mean().backward()
    sgd(whole).step()
    for (name, ours), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name, rtol=1e-4, atol=1e-6)


def test_an_epoch_takes_one_step_a_group_and_moves_the_schedule_each_step(images, labels):
    model, steps = make_model(), []
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: steps.append(step) or 1.0)
    engine.train_step(model, batches(images, labels, 2), nn.CrossEntropyLoss(), optimizer, CPU, scheduler=scheduler,
                      accumulation=4)
    assert scheduler.last_epoch == 2, "6 batches in groups of 4 are 2 steps"


def test_gradients_are_clipped_at_their_global_norm(images, labels):
    """SGD with rate 1 moves by the clipped gradient: the whole step is as long as the clip."""
    model = make_model()
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    engine.train_step(model, [(images, labels)], nn.CrossEntropyLoss(), optimizer, CPU, clip_norm=0.01)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_one_batch_can_be_learnt_by_heart(images, labels):
    model = make_model()
    optimizer = make_optimizer(model, "adamw", lr=3e-3, weight_decay=0.0)
    data = batches(images, labels, 11)
    engine.train(model, data, data, optimizer, nn.CrossEntropyLoss(), 60, CPU)
    result = engine.test_step(model, data, nn.CrossEntropyLoss(), CPU)
    assert result.acc == 1
    assert result.loss < 0.05


def test_training_is_live_and_scoring_is_not(images, labels):
    modes = []
    model = make_model(dropout=0.5)
    model.encoder[0].register_forward_hook(lambda module, args, out: modes.append(module.training))
    data = batches(images, labels, 11)
    engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 2, CPU)
    assert modes == [True, False, True, False]


def test_same_seed_same_weights(images, labels):
    results = []
    for _ in range(2):
        model = make_model(dropout=0.3)
        engine.train_step(model, batches(images, labels, 4), nn.CrossEntropyLoss(), sgd(model), CPU)
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_history_holds_six_lists_of_plain_floats_and_goes_on_where_it_ended(images, labels):
    model, seen = make_model(), []
    data = batches(images, labels, 4)
    options = {"val_dataloader": data, "after_epoch": lambda epoch, scores, history: seen.append((epoch, list(scores)))}
    history = engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 2, CPU, **options)
    history = engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 3, CPU, history=history, **options)
    assert seen == [(epoch, ["train", "val", "test"]) for epoch in (1, 2, 3)]
    assert set(history) == {f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "acc")}
    assert all(len(values) == 3 and {type(v) for v in values} == {float} for values in history.values())
    assert all(0 <= value <= 1 for name in history if name.endswith("acc") for value in history[name])


def test_without_test_batches_there_are_no_test_curves(images, labels):
    model, data = make_model(), batches(images, labels, 4)
    history = engine.train(model, data, None, sgd(model), nn.CrossEntropyLoss(), 2, CPU, val_dataloader=data)
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("train_loss", "train_acc", "val_loss", "val_acc"), 2)


def test_training_pauses_when_asked(images, labels):
    model = make_model()
    data = batches(images, labels, 4)
    history = engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 9, CPU,
                           after_epoch=lambda epoch, scores, history: epoch == 2)
    assert len(history["train_loss"]) == 2


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_first_step(images, labels):
    data = batches(images, labels, 2)
    data[3][0][0] = math.nan
    model = make_model()
    with pytest.raises(UserError, match=r"step 4 of this epoch's training.*--lr"):
        engine.train_step(model, data, nn.CrossEntropyLoss(), sgd(model), CPU)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="no images"):
        engine.test_step(make_model(), [], nn.CrossEntropyLoss(), CPU)


def test_one_synchronisation_an_epoch(images, labels, monkeypatch):
    """On a GPU every .item(), .cpu() or .tolist() waits for it: none may happen batch by batch."""
    waits = []
    for name in ("item", "cpu", "tolist", "__bool__", "__float__"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name,
                            lambda self, *a, _f=original, _n=name, **k: waits.append(_n) or _f(self, *a, **k))
    counts = []
    for size in (11, 1):
        waits.clear()
        model = make_model()
        engine.train_step(model, batches(images, labels, size), nn.CrossEntropyLoss(), sgd(model), CPU, clip_norm=1.0)
        engine.test_step(model, batches(images, labels, size), nn.CrossEntropyLoss(), CPU)
        counts.append(len(waits))
    assert counts[0] == counts[1] > 0


def test_a_class_that_does_not_occur_is_no_miss(images, labels):
    keep = labels != 2
    result = engine.test_step(make_model(), batches(images[keep], labels[keep], 4), nn.CrossEntropyLoss(), CPU)
    recalls = result.confusion.diagonal()[:2] / result.confusion.sum(dim=1)[:2]
    assert result.balanced_acc == pytest.approx(recalls.double().mean().item())


def test_a_gradient_scaler_changes_nothing_but_the_scale(images, labels):
    """fp16's scaler at 1024: clipping must see the true gradients, and its own state must move on."""
    weights = []
    scaler = torch.amp.GradScaler("cpu", init_scale=1024, growth_interval=1)
    for used in (None, scaler):
        model = make_model()
        engine.train_step(model, batches(images, labels, 4), nn.CrossEntropyLoss(), sgd(model), CPU, scaler=used,
                          clip_norm=0.1)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    assert scaler.get_scale() == 1024 * 2**3, "grown once a step"


def test_course_style_calls_work(images, labels):
    """The replicated repository's call: positional, a loss with a mean, no validation set."""
    model, data = make_model(), batches(images, labels, 4)
    results = engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 1, CPU)
    assert set(results) == {"train_loss", "train_acc", "test_loss", "test_acc"}
    expected = F.cross_entropy(model.eval()(images), labels).item()
    assert results["test_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_a_run_of_steps_ends_in_the_middle_of_an_epoch(images, labels):
    """Eleven images in batches of two are six steps an epoch; step 9 is the third of the second."""
    model = make_model()
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    seen = []
    train, test = batches(images, labels, 2), batches(images, labels, 4)
    engine.train(model, train, test, optimizer, nn.CrossEntropyLoss(), 2, CPU,
                 scheduler=scheduler, last_step=9,
                 after_epoch=lambda epoch, scores, history: seen.append(int(scores["train"].confusion.sum())))
    assert scheduler.last_epoch == 9
    assert seen == [11, 6]


def test_training_and_scoring_run_at_the_precision_that_was_asked_for(images, labels):
    seen = []
    model = make_model()
    model.classifier.register_forward_hook(lambda module, args, out: seen.append((module.training, out.dtype)))
    data = batches(images, labels, 11)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        seen.clear()
        engine.train(model, data, data, sgd(model), nn.CrossEntropyLoss(), 1, CPU, val_dataloader=data,
                     precision=precision)
        assert seen == [(True, dtype), (False, dtype), (False, dtype)]


def test_probabilities_of_bf16_logits_are_computed_in_fp32(images, labels):
    """A softmax in bf16 has three digits: probabilities would not sum to one, and many of them would be ties."""
    model, logits = make_model().eval(), []
    model.classifier.register_forward_hook(lambda module, args, out: logits.append(out))
    result = engine.test_step(model, batches(images, labels, 4), nn.CrossEntropyLoss(), CPU, precision="bf16")
    assert {part.dtype for part in logits} == {torch.bfloat16}
    assert result.probabilities.dtype == torch.float32
    torch.testing.assert_close(result.probabilities, torch.cat(logits).float().softmax(1), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(result.probabilities.sum(1), torch.ones(11), rtol=0, atol=1e-6)


def test_the_data_wait_is_that_of_all_steps(images, labels, monkeypatch):
    """A clock on which each batch takes 2 s to come and each step 5 s: six batches wait 12 s of 12 + 15."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(list):
        def __iter__(self):
            for batch in super().__iter__():
                clock[0] += 2.0
                yield batch

    def step():
        clock[0] += 5.0

    model, data = make_model(), Slow(batches(images, labels, 2))
    result = engine.train_step(model, data, nn.CrossEntropyLoss(), sgd(model), CPU, accumulation=2, after_step=step)
    assert (result.data_wait, result.seconds) == (12.0, 27.0)
    assert result.images_per_second == pytest.approx(11 / 27)


class SpoiltInEpoch:
    """Batches whose first image is NaN in one epoch alone."""

    def __init__(self, data, epoch):
        self.data, self.left = data, epoch

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        self.left -= 1
        spoilt = [(images.clone(), labels) for images, labels in self.data]
        if self.left == 0:
            spoilt[0][0][0] = math.nan
        return iter(spoilt)


@pytest.mark.parametrize(("epoch", "complaint"), [(1, "the initial weights, w.pth, are the cause"),
                                                  (2, "step 1 of this epoch's training: try a lower --lr")])
def test_weights_that_were_read_are_named_where_the_very_first_loss_is_not_finite(images, labels, epoch, complaint):
    model, data = make_model(), batches(images, labels, 2)
    with pytest.raises(UserError, match=complaint):
        engine.train(model, SpoiltInEpoch(data, epoch), data, sgd(model), nn.CrossEntropyLoss(), 2, CPU, loaded="w.pth")


def test_curves_are_added_to_the_given_history_if_it_is_of_the_same_splits():
    model, data = nn.Linear(3, 2), [(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))]
    loss = nn.CrossEntropyLoss(reduction="none")
    optimizer, history = torch.optim.SGD(model.parameters(), lr=0.1), {}
    assert engine.train(model, data, data, optimizer, loss, 2, CPU, history=history) is history
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("train_loss", "train_acc", "test_loss", "test_acc"), 2)
    with pytest.raises(ValueError, match="history has no val_acc, val_loss"):
        engine.train(model, data, data, optimizer, loss, 3, CPU, val_dataloader=data, history=history)
