"""Fine-tunes a pretrained ViT-B/16, or another network: python train_transferlearning.py --epochs 10"""

from functions.config.parser import make_parser
from functions.config.settings import TRANSFER
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Parses the command line and trains; user errors and interruptions print one line instead of a traceback."""
    with one_line_errors():
        flags = vars(make_parser(__doc__, TRANSFER).parse_args())    # before torch is imported: --help is fast
        train(flags)


def train(flags: dict) -> None:
    """Settings, weights, data, model, optimiser, features, epochs, results."""
    from data_setup.images.resize import Frame, from_description
    from data_setup.listing.data_folders import is_demo
    from data_setup.listing.moved_data import chosen_split
    from data_setup.loading.feature_batches import with_features
    from data_setup.loading.run_data import find_run_folders, load_run_data
    from data_setup.phantom.ceiling import ceiling
    from data_setup.resources import available_cores, available_memory
    from functions.checkpointing.checkpoint import frozen_digest
    from functions.config.recipes import settings_in_errors, steps_or_epochs
    from functions.evaluation.linear_probe import least_squares_probe
    from functions.training import console
    from functions.training.feature_cache import frozen_features
    from functions.training.fit import fit
    from functions.training.optimisation import fit_in_memory, make_optimisation, steps_in_an_epoch
    from functions.training.start import start
    from functions.training.throughput import measure_speed
    from models.pretrained.sources import find_pretrained, load_transfer
    from models.transfer import blocks_of, layer_lr_factors

    begun = start(TRANSFER, flags, is_demo, available_cores())
    settings, device, precision = begun.settings, begun.device, begun.precision
    steps_or_epochs(settings, begun.sources)

    # Weights and their preprocessing; data: class folders → patients → train, val, test
    with settings_in_errors(settings, begun.sources):
        split = chosen_split(settings, begun.record, flags)
        folders = find_run_folders(settings)            # a missing folder is named before weights are downloaded
        pretrained = find_pretrained(settings.model, settings.weights, settings.backbone, settings.image_size,
                                     settings.in_channels, settings.mean, settings.std, settings.drop_path,
                                     settings.pool)
        own = pretrained.description or Frame(pretrained.config.image_size, **pretrained.frame).describe()
        from_description(own, settings.weights)
        data = load_run_data(settings, folders, split, device,
                             own | {"mean": pretrained.mean, "std": pretrained.std})
        model = load_transfer(pretrained, len(data.class_names)).to(device)
        model.unfreeze(settings.train, in_chunks=True)     # features are bitwise equal with and without the cache
    caveats = [console.DEMO] * settings.demo + [console.RANDOM] * (pretrained.weights is None) + data.caveats
    cached = settings.train == "head" and settings.cache

    # Trained parameters, loss, optimiser, schedule
    measured = not cached and (device.type == "cuda" or settings.profile)      # the head alone is too small to measure
    speed = measure_speed(model, device, precision) if measured else None
    frozen = frozen_digest(model)
    fit_in_memory(model, blocks_of(model.backbone)[0], begun)
    if settings.compile:
        model.backbone.compile()
    steps = steps_in_an_epoch(data.train, begun)
    optimisation = make_optimisation(model, begun, data.class_weights(begun.class_weight_power), steps,
                                     layer_lr_factors(model, settings.layer_decay))

    description = console.describe_transfer(model, settings.train, pretrained.source)
    notes = [*(f"weights: {note}" for note in pretrained.notes), *data.notes]
    console.print_start(begun, model, description, data, notes, caveats, steps)

    # A frozen backbone is run once; then the head is trained on its features
    seconds, network, loaders, probe = 0.0, model, data, None
    if cached:
        features, seconds = frozen_features(model, data, settings, device, frozen, precision)
        loaders, network = with_features(data, features), model.head

        def probe():
            return least_squares_probe(loaders.train.dataset, loaders.val.dataset, loaders.test.dataset,
                                       len(data.class_names)).probabilities
    elif device.type == "cpu":
        print(console.epoch_estimate(model, data, settings.hide_test, precision, TRANSFER, model.chunk))

    # Training, then test scores of the selected epoch
    source = {"weights": pretrained.source, "weights_sha256": pretrained.sha256, "feature_seconds": seconds}
    finished = fit(begun, model, data, optimisation, available_memory, caveats=caveats, notes=notes, speed=speed,
                   network=network, loaders=loaders, loaded=pretrained.source * (pretrained.weights is not None),
                   frozen=frozen, provenance=source, probe=probe)
    if finished and folders.phantom:
        print(console.ceiling_line(ceiling(folders.phantom, set(data.test.dataset.subjects))))


if __name__ == "__main__":
    main()
