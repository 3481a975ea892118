import json
from pathlib import Path

import pytest

from functions.config.parser import make_parser
from functions.config.recipes import (
    RECIPES,
    SIZES,
    check_effects,
    describe,
    from_plain,
    read_recipe,
    resolve,
    steps_or_epochs,
    to_plain,
)
from functions.config.settings import SCRATCH, TRANSFER, image_size
from functions.runtime.errors import UserError
from tests.conftest import NO_FILES

SETTINGS = SCRATCH.settings


def parse(*arguments):
    return vars(make_parser("", SCRATCH).parse_args(arguments))


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.yaml"

    def write(text):
        path.write_text(text)
        return path

    return write


def test_flags_come_before_the_recipe_and_the_recipe_before_defaults(recipe):
    path = recipe("lr: 0.01\nbatch_size: 7\nimage_size: 208x176\n")
    settings, sources = resolve(parse("--recipe", str(path), "--lr", "0.5"), False, SCRATCH)
    assert (settings.lr, settings.batch_size, settings.epochs) == (0.5, 7, SETTINGS["epochs"].default)
    assert settings.image_size == (208, 176)
    assert (sources["lr"], sources["batch_size"], sources["epochs"]) == ("flag", "mine.yaml", "default")


def test_a_flag_given_its_default_still_beats_the_recipe(recipe):
    path = recipe("lr: 0.01\naugment: false\n")
    settings, _ = resolve(parse("--recipe", str(path), "--lr", "3e-4", "--augment"), False, SCRATCH)
    assert settings.lr == 3e-4
    assert settings.augment is True


def test_the_demo_has_a_recipe_of_its_own():
    assert resolve({}, True, SCRATCH)[0].recipe == RECIPES / "demo.yaml"
    assert resolve({}, False, SCRATCH)[0].recipe == RECIPES / "small_data.yaml"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_can_be_read_and_names_its_source(path):
    assert read_recipe(path, TRANSFER if "transfer" in path.name else SCRATCH)
    assert path.read_text().startswith("# ")
    assert "Source:" in path.read_text()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("learning_rate: 0.1", '"learning_rate" is not a setting'),
        ("demo: true", '"demo" is not a setting'),
        ("train_dir: data/train", '"train_dir" is not a setting of a recipe'),
        ("lr: 2020-99-99", "not a number"),
        ("lr: .inf", "not a number"),
        ("lr: fast", '"fast" is not a number'),
        ("epochs: 2.5", "not an integer"),
        (f"epochs: 1{'0' * 5000}", "not an integer"),
        (f"lr: 1{'0' * 5000}", "not a number"),
        (f"epochs: 1{'0' * 400}", "between 1 and 1,000,000,000"),
        ("epochs: 0", "between 1 and 1,000,000,000"),
        ("epochs: true", "not an integer"),
        ("compile: 1", "not true or false"),
        ("image_size: tall", "not an image size"),
        ("optimizer: sgdx", "none of adamw, adam"),
        ("- lr", "does not hold settings"),
        ("lr: [", "not YAML"),
        ("lr: {a: 1}", "lr is {'a': '1'}, not a valid value"),
        ("lr: 2020-01-01", 'lr: "2020-01-01" is not a number'),
        ("seed: 1:30", 'seed: "1:30" is not an integer'),
        ("seed: 0o17", 'seed: "0o17" is not an integer'),
        ("seed: 0x1f", 'seed: "0x1f" is not an integer'),
        ("seed: 2024-01-01", 'seed: "2024-01-01" is not an integer'),
        ("augment: yes", "augment is 'yes', not true or false"),
        ("augment: off", "augment is 'off', not true or false"),
        ("augment: 'true'", "augment is 'true', not true or false"),
        ("lr:", "lr has no value"),
        ("model: true", "model is True, not text"),
        ("split: [a]", "split is ['a'], not text"),
        ("batchsize: 5", "did you mean batch_size?"),
        ("num_transformer_layer: 1000000000", "between 1 and 1,000"),
        ("embedding_dim: 1000000000000", "between 1 and 65,536"),
        ("image_size: 1000000", "at most 4,096 pixels"),
        ("image_size: 16x1000000", "at most 4,096 pixels"),
        ("num_heads: 1" + "0" * 200, "between 1 and 1,024"),
        ("mixup: 0.001", 'mixup: "0.001" is not 0 (off), or a number between 0.01 and 100'),
        ("cutmix: 101", 'cutmix: "101" is not a number between 0 and 100'), ("mixup: true", "mixup"),
        ("ema: 1", 'ema: "1" is not a number between 0 and 0.999999'), ("drop_path: 1", "between 0 and 0.99"),
        ("tensorboard: 1", "tensorboard is '1', not true or false"),
    ],
)
def test_a_wrong_recipe_is_refused_naming_file_and_key(recipe, text, complaint):
    with pytest.raises(ValueError, match="mine.yaml") as refusal:
        read_recipe(recipe(text), SCRATCH)
    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="no such file.*demo.yaml"):
        read_recipe(tmp_path / "none.yaml", SCRATCH)


def test_a_recipes_values_are_what_the_same_flags_would_be(recipe):
    text = ("seed: 010\nepochs: 1000\nsplit: no\nmodel: 5\nsubject_pattern: 2024-01-01\nimage_size: [8, 6]\n"
            "augment: false")
    assert read_recipe(recipe(text), SCRATCH) == {
        "seed": 10, "epochs": 1000, "split": "no", "model": "5", "subject_pattern": "2024-01-01", "image_size": (8, 6),
        "augment": False}


def test_scientific_notation_without_a_dot_is_a_number(recipe):
    assert read_recipe(recipe("lr: 1e-3"), SCRATCH)["lr"] == 1e-3


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("208x176", (208, 176)), (96, (96, 96)), ([8, 6], (8, 6))]
)
def test_image_size_is_height_by_width(text, size):
    assert image_size(text) == size


def test_settings_survive_run_json():
    settings, _ = resolve(parse("--image_size", "208x176", "--subjects", "/a/b.csv", "--no-augment"), False, SCRATCH)
    again = from_plain(to_plain(settings), {"resume": Path("runs/x")}, SCRATCH)
    for name in SETTINGS:
        assert getattr(again, name) == getattr(settings, name), name


def test_a_resumed_run_may_be_made_longer_and_nothing_else():
    plain = to_plain(resolve({}, False, SCRATCH)[0])
    assert from_plain(plain, {"resume": Path("runs/x"), "epochs": 99}, SCRATCH).epochs == 99
    with pytest.raises(ValueError, match="--lr cannot be changed on resume"):
        from_plain(plain, {"resume": Path("runs/x"), "lr": 1.0}, SCRATCH)


@pytest.mark.parametrize(("demo", "recipe"), [(True, None), (False, "mri_cpu.yaml")])
def test_a_model_by_flag_has_its_own_sizes_not_the_recipes(demo, recipe):
    flags = {"model": "vit_s_16"} | ({"recipe": RECIPES / recipe} if recipe else {})
    settings, sources = resolve(flags, demo, SCRATCH)
    assert [getattr(settings, name) for name in SIZES] == [None] * 5
    assert {sources[name] for name in SIZES} == {"default"}
    assert settings.image_size == (96, 80), "what the recipe says of the images stays"
    settings, _ = resolve(flags | {"mlp_size": 99, "patch_size": 8}, demo, SCRATCH)
    assert [getattr(settings, name) for name in SIZES] == [8, None, None, 99, None]


def test_without_a_model_by_flag_the_recipes_sizes_stand_and_flags_beat_them():
    settings, _ = resolve({"mlp_size": 99}, True, SCRATCH)
    assert [getattr(settings, name) for name in SIZES] == [8, 4, 64, 99, 4]


@pytest.mark.parametrize("given", ["auto", "./auto", "data/auto", "/data/auto"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_subjects_auto_is_a_word_and_a_file_of_that_name_a_file(tmp_path, monkeypatch, given, elsewhere):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    settings, _ = resolve(parse("--subjects", given), False, SCRATCH)
    plain = json.loads(json.dumps(to_plain(settings)))
    if elsewhere:
        monkeypatch.chdir("there")
    again = from_plain(plain, {"resume": Path("runs/x")}, SCRATCH).subjects
    if given == "auto":
        assert again == "auto"
    else:
        assert isinstance(again, Path)
        assert again.absolute() == tmp_path / given


def test_a_working_folder_that_was_moved_is_looked_for_here(tmp_path, monkeypatch):
    (tmp_path / "old/data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "old")
    plain = to_plain(resolve(parse("--train_dir", "data"), False, SCRATCH)[0])
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    assert from_plain(plain, {"resume": Path("runs/x")}, SCRATCH).train_dir == Path("data")


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"device": "cpu"}, {"train_dir": Path("a")},
                                     {"test_dir": Path("a")}, {"val_dir": Path("a")}, {"num_workers": 0},
                                     {"compile": True}, {"tensorboard": True}, {"wandb": True}])
def test_where_and_how_a_resumed_run_computes_may_change(changes):
    plain = to_plain(resolve({}, False, SCRATCH)[0])
    again = vars(from_plain(plain, {"resume": Path("runs/x")} | changes, SCRATCH))
    assert changes.items() <= again.items()


@pytest.mark.parametrize(("name", "value"), [("lr", None), ("lr", float("nan")), ("lr", "x"), ("epochs", 0),
                                             ("batch_size", True), ("augment", 1), ("model", 3), ("image_size", {})])
def test_a_wrong_setting_in_run_json_names_the_file_and_the_key(name, value):
    plain = to_plain(resolve({}, False, SCRATCH)[0])
    with pytest.raises(ValueError, match=f"runs/x/run.json: settings: {name}"):
        from_plain(plain | {name: value}, {"resume": Path("runs/x")}, SCRATCH, "runs/x/run.json")


def test_what_was_resolved_is_shown_and_flags_carry_a_star():
    settings, sources = resolve(parse("--lr", "0.5"), False, SCRATCH)
    text = "\n".join(describe(settings, sources, SCRATCH))
    assert "lr=0.5*" in text
    assert f"weight_decay={settings.weight_decay} " in text


def test_flags_of_the_replicated_repository_are_there():
    assert {"epochs", "batch_size", "lr", "train_dir", "test_dir", "patch_size", "num_transformer_layer",
            "embedding_dim", "mlp_size", "num_heads", "num_classes"} <= set(SETTINGS)


def test_paths_mean_the_same_when_a_run_is_resumed_from_elsewhere(tmp_path, monkeypatch):
    """And stay as they were given when it is resumed from the same folder: predictions name the same files."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    plain = to_plain(resolve(parse("--train_dir", "data/train", "--subjects", "/a/b.csv"), False, SCRATCH)[0])
    assert from_plain(plain, {"resume": Path("runs/x")}, SCRATCH).train_dir == Path("data/train")
    monkeypatch.chdir(there)
    again = from_plain(plain, {"resume": Path("runs/x")}, SCRATCH)
    assert (again.train_dir, again.subjects) == (here / "data/train", Path("/a/b.csv"))


def test_a_run_of_before_a_setting_was_there_goes_on_without_it():
    plain = to_plain(resolve({}, False, SCRATCH)[0])
    for name in ("shard", "checkpoint_activations", "profile", "device", "deterministic", "mixup", "cutmix",
                 "drop_path", "ema", "tensorboard", "wandb"):
        del plain[name]
    again = from_plain(plain, {"resume": Path("runs/x")}, SCRATCH)
    assert (again.shard, again.checkpoint_activations, again.profile) == (False, False, None)
    assert (again.mixup, again.cutmix, again.drop_path, again.ema) == (0.0, 0.0, 0.0, 0.0)
    assert (again.tensorboard, again.wandb) == (False, False)
    del plain["lr"]
    with pytest.raises(ValueError, match="run.json lacks the setting lr"):
        from_plain(plain, {"resume": Path("runs/x")}, SCRATCH)


@pytest.mark.parametrize("name", ["stop_after", "profile"])
def test_a_pause_and_a_profile_are_of_one_call_and_not_of_the_run(name):
    plain = to_plain(resolve(parse(f"--{name}", "3"), False, SCRATCH)[0])
    assert plain[name] == 3
    assert getattr(from_plain(plain, {"resume": Path("runs/x")}, SCRATCH), name) is None
    assert getattr(from_plain(plain, {"resume": Path("runs/x"), name: 5}, SCRATCH), name) == 5


def test_epochs_given_as_a_flag_beat_the_steps_of_a_recipe(recipe):
    path = recipe("steps: 500\n")
    flags = vars(make_parser("", TRANSFER).parse_args(["--recipe", str(path), "--epochs", "3"]))
    settings, sources = resolve(flags, False, TRANSFER)
    steps_or_epochs(settings, sources)
    assert (settings.epochs, settings.steps) == (3, None)
    settings, sources = resolve({"recipe": path}, False, TRANSFER)
    steps_or_epochs(settings, sources)
    assert settings.steps == 500


CACHED, FINE_TUNED = {"train": "head", "cache": True}, {"train": "last:2", "cache": True}
UNCACHED = {"train": "head", "cache": False}


@pytest.mark.parametrize(("flags", "complaint"), [
    (CACHED | {"mixup": 0.2}, "--mixup mixes images, and the cached features of a frozen backbone have none"),
    (CACHED | {"cutmix": 1.0}, "--cutmix mixes images"), (CACHED | {"shard": True}, "--shard has no effect"),
    (CACHED | {"drop_path": 0.1}, "--drop_path has no effect on a frozen backbone"),
    (UNCACHED | {"drop_path": 0.1}, "--drop_path has no effect on a frozen backbone"),
    (FINE_TUNED | {"mixup": 0.2, "batch_size": 1}, "--mixup mixes the slices of a batch, and --batch_size is 1"),
    (CACHED | {"ema": 0.9}, ""), (UNCACHED | {"mixup": 0.2, "cutmix": 1.0, "shard": True}, ""),
    (FINE_TUNED | {"drop_path": 0.1, "mixup": 0.2, "cutmix": 1.0}, ""),
])
def test_a_setting_without_effect_beside_the_others_is_refused(flags, complaint):
    settings, sources = resolve(flags, False, TRANSFER)
    if not complaint:
        check_effects(settings, sources)
        return
    with pytest.raises(UserError, match=complaint):
        check_effects(settings, sources)


def test_a_setting_without_effect_names_the_recipe_that_has_it(recipe):
    path = recipe("mixup: 0.4\nbatch_size: 1\n")
    with pytest.raises(UserError, match=r"mixup in recipe .*mine\.yaml") as refusal:
        check_effects(*resolve({"recipe": path}, False, SCRATCH))
    assert "batch_size in recipe" in str(refusal.value)


def test_defaults_that_decide_a_result_are_these():
    """A changed default changes every number that was published with a plain command: change this table knowingly."""
    shared = {
        "epochs": 10, "seed": 0, "precision": "auto", "split": "auto", "batch_size": 32, "accumulation": 1,
        "optimizer": "adamw", "lr": 3e-4, "weight_decay": 0.05, "schedule": "cosine", "warmup_share": 0.1,
        "clip_norm": 1.0, "label_smoothing": 0.0, "class_weights": "none", "model": "vit_b_16", "in_channels": 3,
        "num_classes": None, "subjects": None, "subject_pattern": None, "mixup": 0.0, "cutmix": 0.0, "drop_path": 0.0,
        "ema": 0.0}
    scratch = {"image_size": (224, 224), "dropout": 0.0, "augment": True, "patch_size": None,
               "num_transformer_layer": None, "embedding_dim": None, "mlp_size": None, "num_heads": None}
    transfer = {"image_size": None, "augment": False, "weights": "DEFAULT", "backbone": "auto", "pool": None,
                "train": "head", "cache": True, "views": 4, "steps": None, "layer_decay": 0.75}
    for script, own in ((SCRATCH, scratch), (TRANSFER, transfer)):
        assert {name: script.settings[name].default for name in shared | own} == shared | own


@pytest.mark.parametrize("text", ["mean: [0.5, true, 0.5]", "mean: yes", f"std: {'9' * 5000}", "mean: 0:30"])
def test_a_recipes_channel_values_are_numbers(recipe, text):
    with pytest.raises(ValueError, match="is not one number, or three") as refusal:
        read_recipe(recipe(text), TRANSFER)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "a.yaml")
    with pytest.raises(UserError, match=f"recipe .*a.yaml: {kind}.*demo.yaml"):
        read_recipe(tmp_path / "a.yaml", SCRATCH)
