"""Fine-tunes torchvision's pretrained ViT-B/16, or another network: python train_transferlearning.py --epochs 10"""

from functions.command_line import make_parser
from functions.errors import UserError
from functions.exits import one_line_errors, raise_if_interrupted
from functions.settings import TRANSFER


def main() -> None:
    """The command line, and one line instead of a traceback where the user or an interruption is the reason."""
    with one_line_errors():
        flags = vars(make_parser(__doc__, TRANSFER).parse_args())    # before torch is loaded: --help answers at once
        train(flags)


def train(flags: dict) -> None:
    """Settings, seed, weights, data, model, features, optimiser, epochs, results: one story, from top to bottom."""
    import torch

    from data_setup.feature_batches import with_features
    from data_setup.folders import is_demo
    from data_setup.framing import Frame
    from data_setup.moved import chosen_split
    from data_setup.phantom_ceiling import ceiling
    from data_setup.resources import available_cores, available_memory
    from data_setup.run_data import load_run_data
    from data_setup.split_notes import UNKNOWN
    from data_setup.splits import count_table, split_hash
    from functions import distributed, engine, reporting, runtime
    from functions.checkpoints import frozen_digest
    from functions.features import frozen_features
    from functions.memory import checkpoint_activations, shard
    from functions.optimizers import make_optimizer
    from functions.probe import least_squares_probe
    from functions.profiling import step_profiler
    from functions.recipes import settings_named, steps_or_epochs
    from functions.results import patient_ids
    from functions.run_folder import asked_device, recorded
    from functions.schedules import make_schedule
    from functions.speed import measure_speed
    from functions.sums import EpochScores
    from functions.training_run import TrainingRun, choose_settings, open_folder
    from models.transfer import blocks_of, layer_rates
    from models.transfer_weights import find_pretrained, load_transfer

    # Device, settings and seed
    device = runtime.pick_device(asked_device(flags), available_cores())
    distributed.join(device)
    settings, sources, record = choose_settings(flags, is_demo, TRANSFER)
    steps_or_epochs(settings, sources)
    if settings.deterministic:
        runtime.make_deterministic()
    runtime.set_seeds(settings.seed)
    precision = runtime.resolve_precision(settings.precision, device)
    device_words = f"{runtime.describe_device(device)}, {precision}"

    # Weights, and how they want their images; data: class folders → patients → train, val, test
    with settings_named(settings, sources):
        pretrained = find_pretrained(settings.model, settings.weights, settings.backbone, settings.image_size,
                                     settings.in_channels, settings.mean, settings.std)
        own = pretrained.description or Frame(pretrained.config.image_size, **pretrained.frame).describe()
        data, folders = load_run_data(settings, chosen_split(settings, record, flags), device,
                                      own | {"mean": pretrained.mean, "std": pretrained.std})
        model = load_transfer(pretrained, len(data.class_names)).to(device)
        model.unfreeze(settings.train, in_chunks=True)     # cached or not, the same features to the last bit
    stamps = [reporting.DEMO] * settings.demo + [reporting.RANDOM] * (pretrained.weights is None) + data.stamps

    # What is trained; loss, optimiser, schedule
    cached = settings.train == "head" and settings.cache
    if settings.shard and cached:
        raise UserError("--shard has nothing to spread where a frozen backbone is run once: leave it out, or give "
                        "--no_cache, --train last:2 or --train all")
    measured = not cached and (device.type == "cuda" or settings.profile)      # a head alone says nothing of the device
    speed = measure_speed(model, device, precision) if measured else None
    blocks = blocks_of(model.backbone)[0]
    frozen = frozen_digest(model)
    if settings.checkpoint_activations:
        checkpoint_activations(blocks)
    if settings.shard:
        shard(model, blocks, precision)
    if settings.compile:
        model.backbone.compile()
    weights = data.class_weights({"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[settings.class_weights]).to(device)
    loss_fn = torch.nn.CrossEntropyLoss(weights, reduction="none", label_smoothing=settings.label_smoothing)
    optimizer = make_optimizer(model, settings.optimizer, settings.lr, settings.weight_decay,
                               layer_rates(model, settings.layer_decay))
    steps_per_epoch = -(-len(data.train) // settings.accumulation)
    settings.epochs = -(-settings.steps // steps_per_epoch) if settings.steps else settings.epochs
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule(
        settings.schedule, settings.epochs, steps_per_epoch, settings.warmup_share, settings.steps))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    # What was resolved, once
    words = reporting.transfer_words(model, settings.train, pretrained.source)
    notes = [*(f"weights: {note}" for note in pretrained.notes), *data.notes]
    reporting.print_start(TRANSFER, settings, sources, words, device_words, notes, count_table(data.table),
                          stamps)
    reporting.print_few_steps(len(data.train.dataset), steps_per_epoch, settings)
    if settings.summary:
        reporting.print_summary(model, device)

    # A frozen backbone is run once: from here on its features stand for the images, and the head for the model
    seconds, learner, streams = 0.0, model, data
    if cached:
        features, seconds = frozen_features(model, data, settings, device, frozen, precision)
        streams, learner = with_features(data, features), model.head
    elif device.type == "cpu":
        print(reporting.epoch_estimate(model, data.train, [data.val, data.test], precision, TRANSFER, model.chunk))

    # The run's folder: a new one, or the one to go on in
    seen, val = {"seen": data.seen}, data.val.dataset       # seen is in the checkpoint, not in run.json
    facts = {"class_names": data.class_names, "preprocessing": data.preprocessing, "stamps": stamps,
             "split_hash": split_hash(data.table), "fingerprint": data.fingerprint, "precision": precision,
             "frozen": frozen}
    folder = open_folder(TRANSFER, settings, record, facts, device_words, data.table, notes=notes,
                         left_out=data.left_out, weights=pretrained.source, weights_sha256=pretrained.sha256,
                         feature_seconds=seconds)
    run = TrainingRun(folder, model, optimizer, scheduler, scaler, facts | seen, patient_ids(val.subjects, val.paths),
                      available_memory=available_memory)
    runtime.set_seeds(settings.seed)    # whatever was drawn so far, epoch 1 begins the same
    done = run.resume()
    print(f"run      {folder}" + (f", going on after epoch {done}" if done else ""))

    def after_epoch(epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]]) -> bool:
        lr = max(scheduler.base_lrs) * scheduler.lr_lambdas[0](scheduler.last_epoch - 1)    # of the last step
        reporting.print_epoch(epoch, settings, scores, lr, data.class_names, from_scratch=False, speed=speed,
                              seconds=run.epoch_seconds())
        run.save_epoch(epoch, scores, history, lr)
        raise_if_interrupted()
        return epoch == settings.stop_after

    # Epochs
    with recorded(folder), run.writer, step_profiler(settings.profile, folder, device) as profiler:
        print(reporting.EPOCH_HEAD)
        engine.train(learner, streams.train, streams.test, optimizer, loss_fn, settings.epochs, device,
                     val_dataloader=streams.val, history=run.history, after_epoch=after_epoch, precision=precision,
                     scheduler=scheduler, scaler=scaler, clip_norm=settings.clip_norm,
                     accumulation=settings.accumulation, last_step=settings.steps, after_step=profiler,
                     loaded=str(folder / "last.pt") if done else pretrained.source * (pretrained.weights is not None))
        if run.epochs_done < settings.epochs:
            run.pause()
            return

        # Results: the best epoch, once, on the test patients, and the closed-form probe beside it
        test = data.test.dataset
        probe = None if streams is data else least_squares_probe(
            streams.train.dataset, streams.val.dataset, streams.test.dataset, len(data.class_names)).probabilities
        def score_test(trained: str) -> EpochScores:
            return engine.test_step(learner, streams.test, loss_fn, device,
                                    precision=runtime.scoring_precision(trained, device)[0])

        scored = run.conclude(score_test, test.paths, test.subjects, data.largest_class, probe)
        reporting.print_end(folder, run.best["epoch"], scored, data.largest_class, UNKNOWN not in stamps, stamps,
                            data.left_out)
        if folders.phantom:
            print(reporting.ceiling_line(ceiling(folders.phantom, set(test.subjects))))


if __name__ == "__main__":
    main()
