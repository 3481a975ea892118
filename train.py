"""Trains the hand-written Vision Transformer from scratch: python train.py --epochs 10"""

from functions.config.parser import make_parser
from functions.config.settings import SCRATCH
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Parses the command line and trains; user errors and interruptions print one line instead of a traceback."""
    with one_line_errors():
        flags = vars(make_parser(__doc__, SCRATCH).parse_args())    # before torch is imported: --help is fast
        train(flags)


def train(flags: dict) -> None:
    """Settings, model, data, optimiser, epochs, results."""
    from dataclasses import replace

    from data_setup.listing.data_folders import is_demo
    from data_setup.listing.moved_data import chosen_split
    from data_setup.loading.run_data import find_run_folders, load_run_data
    from data_setup.phantom.ceiling import ceiling
    from data_setup.resources import available_cores, available_memory
    from functions.config.recipes import SIZES, settings_in_errors
    from functions.training import console
    from functions.training.fit import fit
    from functions.training.model_memory import check_model_fits
    from functions.training.optimisation import fit_in_memory, make_optimisation, steps_in_an_epoch
    from functions.training.start import start
    from functions.training.throughput import measure_speed
    from models.factory import configure, count_parameters, make_model

    begun = start(SCRATCH, flags, is_demo, available_cores())
    settings, device, precision = begun.settings, begun.device, begun.precision

    # Model configuration, checked before any slice is read
    sizes = {field: size for name, field in SIZES.items() if (size := getattr(settings, name)) is not None}
    with settings_in_errors(settings, begun.sources):
        config = configure(settings.model, image_size=settings.image_size, in_channels=settings.in_channels,
                           dropout=settings.dropout, drop_path=settings.drop_path,
                           num_classes=settings.num_classes or 2, **sizes)
    vars(settings).update({name: getattr(config, field) for name, field in SIZES.items()})     # recorded in run.json
    check_model_fits(count_parameters(config), settings.optimizer, device, available_memory(), settings.shard,
                     settings.ema > 0)

    # Data: class folders → patients → train, val, test
    with settings_in_errors(settings, begun.sources):
        split = chosen_split(settings, begun.record, flags)
        folders = find_run_folders(settings)
        data = load_run_data(settings, folders, split, device)
    caveats = [console.DEMO] * settings.demo + data.caveats

    # Model, loss, optimiser, schedule
    model = make_model(replace(config, num_classes=len(data.class_names))).to(device)
    speed = measure_speed(model, device, precision) if device.type == "cuda" or settings.profile else None
    fit_in_memory(model, model.encoder, begun)
    steps = steps_in_an_epoch(data.train, begun)
    optimisation = make_optimisation(model, begun, data.class_weights(begun.class_weight_power), steps)

    console.print_start(begun, model, console.describe_model(model), data, data.notes, caveats, steps)
    if device.type == "cpu":
        print(console.epoch_estimate(model, data, settings.hide_test, precision, SCRATCH))
    if settings.compile:
        model.compile()

    # Training, then test scores of the selected epoch
    finished = fit(begun, model, data, optimisation, available_memory, caveats=caveats, notes=data.notes, speed=speed)
    if finished and folders.phantom:
        print(console.ceiling_line(ceiling(folders.phantom, set(data.test.dataset.subjects))))


if __name__ == "__main__":
    main()
