"""Trains the hand-written Vision Transformer from scratch, epoch by epoch: python train.py --epochs 10"""

from functions.command_line import make_parser
from functions.exits import one_line_errors, raise_if_interrupted
from functions.settings import SCRATCH


def main() -> None:
    """The command line, and one line instead of a traceback where the user or an interruption is the reason."""
    with one_line_errors():
        flags = vars(make_parser(__doc__, SCRATCH).parse_args())    # before torch is loaded: --help answers at once
        train(flags)


def train(flags: dict) -> None:
    """Settings, seed, data, model, optimiser, epochs, results: one story, read from top to bottom."""
    from dataclasses import replace

    import torch

    from data_setup.folders import is_demo
    from data_setup.moved import chosen_split
    from data_setup.phantom_ceiling import ceiling
    from data_setup.resources import available_cores, available_memory
    from data_setup.run_data import load_run_data
    from data_setup.split_notes import UNKNOWN
    from data_setup.splits import count_table, split_hash
    from functions import distributed, engine, reporting, runtime
    from functions.memory import checkpoint_activations, shard
    from functions.model_memory import check_model_fits
    from functions.optimizers import make_optimizer
    from functions.profiling import step_profiler
    from functions.recipes import SIZES, settings_named
    from functions.results import patient_ids
    from functions.run_folder import asked_device, recorded
    from functions.schedules import make_schedule
    from functions.speed import measure_speed
    from functions.sums import EpochScores
    from functions.training_run import TrainingRun, choose_settings, open_folder
    from models import ViT
    from models.vit import configure

    # Device, settings and seed
    device = runtime.pick_device(asked_device(flags), available_cores())
    distributed.join(device)
    settings, sources, record = choose_settings(flags, is_demo, SCRATCH)
    if settings.deterministic:
        runtime.make_deterministic()
    runtime.set_seeds(settings.seed)
    precision = runtime.resolve_precision(settings.precision, device)
    device_words = f"{runtime.describe_device(device)}, {precision}"

    # The model's sizes, before any slice is read
    sizes = {field: size for name, field in SIZES.items() if (size := getattr(settings, name)) is not None}
    with settings_named(settings, sources):
        config = configure(settings.model, image_size=settings.image_size, in_channels=settings.in_channels,
                           dropout=settings.dropout, num_classes=settings.num_classes or 2, **sizes)
    vars(settings).update({name: getattr(config, field) for name, field in SIZES.items()})     # as recorded
    check_model_fits(config.num_parameters, settings.optimizer, device, available_memory(), settings.shard)

    # Data: class folders → patients → train, val, test
    with settings_named(settings, sources):
        data, folders = load_run_data(settings, chosen_split(settings, record, flags), device)
    stamps = [reporting.DEMO] * settings.demo + data.stamps

    # Model, loss, optimiser, schedule
    model = ViT(replace(config, num_classes=len(data.class_names))).to(device)
    speed = measure_speed(model, device, precision) if device.type == "cuda" or settings.profile else None
    if settings.checkpoint_activations:
        checkpoint_activations(model.encoder)
    if settings.shard:
        shard(model, model.encoder, precision)
    weights = data.class_weights({"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[settings.class_weights]).to(device)
    loss_fn = torch.nn.CrossEntropyLoss(weights, reduction="none", label_smoothing=settings.label_smoothing)
    optimizer = make_optimizer(model, settings.optimizer, settings.lr, settings.weight_decay)
    steps_per_epoch = -(-len(data.train) // settings.accumulation)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, make_schedule(settings.schedule, settings.epochs, steps_per_epoch, settings.warmup_share))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    # What was resolved, once
    reporting.print_start(SCRATCH, settings, sources, reporting.model_words(model), device_words, data.notes,
                          count_table(data.table), stamps)
    reporting.print_few_steps(len(data.train.dataset), steps_per_epoch, settings)
    if settings.summary:
        reporting.print_summary(model, device)
    if device.type == "cpu":
        print(reporting.epoch_estimate(model, data.train, [data.val, data.test], precision, SCRATCH))

    # The run's folder: a new one, or the one to go on in
    facts = {"class_names": data.class_names, "preprocessing": data.preprocessing, "stamps": stamps,
             "split_hash": split_hash(data.table), "fingerprint": data.fingerprint, "precision": precision}
    seen = {"seen": data.seen}          # in the checkpoint, not in run.json
    folder = open_folder(SCRATCH, settings, record, facts, device_words, data.table,
                         notes=data.notes, left_out=data.left_out)
    val = data.val.dataset
    run = TrainingRun(folder, model, optimizer, scheduler, scaler, facts | seen, patient_ids(val.subjects, val.paths),
                      available_memory=available_memory)
    runtime.set_seeds(settings.seed)    # whatever was drawn so far, epoch 1 begins the same
    done = run.resume()
    print(f"run      {folder}" + (f", going on after epoch {done}" if done else ""))
    if settings.compile:
        model.compile()

    def after_epoch(epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]]) -> bool:
        lr = scheduler.base_lrs[0] * scheduler.lr_lambdas[0](scheduler.last_epoch - 1)    # of the last step
        reporting.print_epoch(epoch, settings, scores, lr, data.class_names, from_scratch=True, speed=speed,
                              seconds=run.epoch_seconds())
        run.save_epoch(epoch, scores, history, lr)
        raise_if_interrupted()
        return epoch == settings.stop_after

    # Epochs
    with recorded(folder), run.writer, step_profiler(settings.profile, folder, device) as profiler:
        print(reporting.EPOCH_HEAD)
        engine.train(model, data.train, data.test, optimizer, loss_fn, settings.epochs, device,
                     val_dataloader=data.val, history=run.history, after_epoch=after_epoch, precision=precision,
                     scheduler=scheduler, scaler=scaler, clip_norm=settings.clip_norm,
                     accumulation=settings.accumulation, after_step=profiler,
                     loaded=str(folder / "last.pt") if done else "")
        if run.epochs_done < settings.epochs:
            run.pause()
            return

        # Results: the best epoch, once, on the test patients
        test = data.test.dataset
        def score_test(trained: str) -> EpochScores:
            return engine.test_step(model, data.test, loss_fn, device,
                                    precision=runtime.scoring_precision(trained, device)[0])

        scored = run.conclude(score_test,
                              test.paths, test.subjects, data.largest_class)
        reporting.print_end(folder, run.best["epoch"], scored, data.largest_class, UNKNOWN not in stamps, stamps,
                            data.left_out)
        if folders.phantom:
            print(reporting.ceiling_line(ceiling(folders.phantom, set(test.subjects))))


if __name__ == "__main__":
    main()
