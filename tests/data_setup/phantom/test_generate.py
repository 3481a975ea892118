"""The phantom: same bytes everywhere, people apart, disease as in the tables, faults exactly as the manifest says."""

import ast
import csv
import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from data_setup.phantom import anatomy as phantom_anatomy
from data_setup.phantom import generate as phantom
from data_setup.phantom.__main__ import main
from data_setup.phantom.generate import CLASSES, FAULTS, ceiling, contact_sheet, make_phantom
from data_setup.phantom.people import Draws, draw_person
from tests import phantoms

GOLDEN = "9ddac9a3947dd95154abbd21fc7f2b97823a11ffb6b2e58a0698f5a57b9e7657"
SMALL = {"people": 20, "slices": 4, "seed": 3}


def rows_of(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pictures_of(folder):
    return {path: data for path, data in bytes_of(folder).items() if path != "manifest.csv"}


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def flat(pictures):
    """Pictures → (count, pixels), mean 0 and length 1: a product of two rows is their correlation."""
    pictures = np.stack(pictures).reshape(len(pictures), -1).astype(np.float32)
    pictures -= pictures.mean(axis=1, keepdims=True)
    return pictures / np.linalg.norm(pictures, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return phantoms.make_phantom(tmp_path_factory.mktemp("phantom") / "default")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_phantom(tmp_path_factory.mktemp("phantom") / "small", **SMALL)


@pytest.fixture
def planted(tmp_path):
    """A function: faults → the small set with these faults, its rows."""

    def plant(*faults):
        folder = phantoms.make_phantom(tmp_path / "planted", **SMALL, faults=faults)
        return folder, rows_of(folder)

    return plant


def test_the_default_set_is_the_same_to_the_byte(default):
    digest = hashlib.sha256()
    for name, data in bytes_of(default).items():
        digest.update(name.encode() + b"\0" + data)
    assert digest.hexdigest() == GOLDEN


def test_pixels_see_only_exactly_rounded_operations():
    """exp, sin, powers, matrix products and sums differ in the last bit between machines."""
    exact = {"sqrt", "floor", "minimum", "maximum", "clip", "abs", "where"}
    moves = {"arange", "full", "stack", "take", "roll", "reshape", "argsort", "prod", "ndarray", "random"}
    types = {"uint8", "uint16", "uint64", "float64"}
    for module in ("shapes", "anatomy", "people", "faults"):
        source = Path(phantom_anatomy.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr in exact | moves | types | {"asarray"}, f"np.{node.attr} in phantom_{module}.py"
            assert not isinstance(node, ast.Pow | ast.MatMult), f"** or @ in phantom_{module}.py"
            assert not (isinstance(node, ast.Attribute) and node.attr in {"sum", "mean", "dot", "std"}), module


def test_the_seed_decides_everything(small, tmp_path):
    assert bytes_of(make_phantom(tmp_path / "again", **SMALL)) == bytes_of(small)
    other = make_phantom(tmp_path / "other", **{**SMALL, "seed": 4})
    assert not set(bytes_of(other).values()) & set(bytes_of(small).values())
    for column in ("stage", "split"):
        assert [row[column] for row in rows_of(other)] != [row[column] for row in rows_of(small)]


def test_a_person_does_not_depend_on_how_many_there_are(small, tmp_path):
    fewer = pictures_of(make_phantom(tmp_path / "fewer", **{**SMALL, "people": 13}))
    assert len(fewer) == 13 * 4
    assert fewer.items() <= pictures_of(small).items()


def test_people_stand_on_one_side_and_every_file_is_in_the_manifest(default):
    rows = rows_of(default)
    assert {row["path"] for row in rows} == set(pictures_of(default))
    assert len(rows) == 800
    people = {row["subject"]: (row["split"], row["class"], row["stage"]) for row in rows}
    for row in rows:
        assert people[row["subject"]] == (row["split"], row["class"], row["stage"])
        assert row["path"] == f"{row['split']}/{row['class']}/{row['subject']}_ses-1_z{int(row['slice']):02d}.png"
        assert row["fault"] == ""
    counts = Counter((split, name) for split, name, _ in people.values())
    assert [counts["train", name] for name in CLASSES] == [24, 18, 18]
    assert [counts["test", name] for name in CLASSES] == [16, 12, 12]
    assert {(name, stage) for _, name, stage in people.values()} == set(zip(CLASSES, ("0", "0.5", "1"), strict=True))
    with Image.open(default / rows[0]["path"]) as image:
        assert (image.mode, image.size) == ("L", (80, 96))


def test_ten_people_have_every_class_on_both_sides(tmp_path):
    for seed in range(5):
        rows = rows_of(make_phantom(tmp_path / str(seed), people=10, slices=1, seed=seed))
        assert len({(row["split"], row["class"]) for row in rows}) == 6


def test_anatomy_does_not_know_the_stage():
    healthy, ill = Draws(7, 1), Draws(7, 1)
    people = draw_person(0, 5, healthy, stage=0), draw_person(0, 5, ill, stage=2)
    assert people[0].nwbv > people[1].nwbv
    assert people[0].sex == people[1].sex
    one, other = (vars(phantom_anatomy.draw_identity(d, "F")) for d in (healthy, ill))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_latents_follow_the_tables():
    """Means and SDs of OASIS-1 (people of 60 and more) and of its segmented slices, within three standard errors."""
    table = {
        "age": ((75.9, 9.0), (76.2, 7.2), (77.8, 7.0)),
        "nwbv": ((0.7525, 0.0416), (0.7294, 0.0379), (0.7062, 0.0375)),
        "vbr": ((0.062, 0.030), (0.075, 0.030), (0.088, 0.030)),
        "csf": ((0.169, 0.024), (0.186, 0.024), (0.201, 0.024)),
        "hippocampus": ((1.0, 0.11), (0.87, 0.11), (0.78, 0.11)),
    }
    count = 1500
    for stage in range(3):
        people = [draw_person(0, 0, Draws(11, stage, n), stage=stage) for n in range(1, count + 1)]
        assert 0.61 < np.mean([p.sex == "F" for p in people]) < 0.69
        for name, stages in table.items():
            mean, sd = stages[stage]
            values = [getattr(p, name) for p in people]
            assert np.mean(values) == pytest.approx(mean, abs=3 * sd / count**0.5 + 0.0005), (name, stage)
            assert np.std(values) == pytest.approx(sd, rel=0.08), (name, stage)


def drawn(person, slices=8):
    """The person's slices, with noise and anatomy as fixed as the stream."""
    return phantom_anatomy.render(person, slices, Draws(5, 6, 7)).astype(int)


@pytest.mark.parametrize(
    ("latent", "values", "part", "unchanged"),
    [
        ("vbr", (0.02, 0.05, 0.08, 0.12, 0.16), np.s_[3:6, 24:72, 20:60], np.s_[7:]),
        ("nwbv", (0.83, 0.78, 0.73, 0.68, 0.63), np.s_[:], None),
        ("csf", (0.13, 0.16, 0.19, 0.22, 0.25), np.s_[:], None),
        ("hippocampus", (1.15, 1.0, 0.85, 0.7, 0.55), np.s_[:2, 30:66, 8:72], np.s_[4:]),
    ],
)
def test_each_disease_latent_shows_as_fluid(latent, values, part, unchanged):
    person = draw_person(0, 0, Draws(1, 2, 3))
    pictures = [drawn(replace(person, **{latent: value})) for value in values]
    fluid = [(p[part] < 70).sum() for p in pictures]
    assert all(np.diff(fluid) > 0.004 * pictures[0][part].size), fluid
    if unchanged is not None:
        for picture in pictures[1:]:
            np.testing.assert_array_equal(picture[unchanged], pictures[0][unchanged])


def test_ventricles_on_the_pixels_follow_vbr_over_all_people(default):
    rows = [row for row in rows_of(default) if row["slice"] == "4"]
    area = [(pixels_of(default / row["path"])[26:70, 24:56] < 70).mean() for row in rows]
    assert np.corrcoef(area, [float(row["vbr"]) for row in rows])[0, 1] > 0.85


def test_age_darkens_white_matter_most_around_the_ventricles():
    person = draw_person(0, 0, Draws(1, 2, 3))
    young, old = (drawn(replace(person, age=age)) for age in (55.0, 90.0))
    assert np.percentile(old[7], 90) < np.percentile(young[7], 90) - 6
    assert old[4, 30:66, 22:58].mean() < young[4, 30:66, 22:58].mean() - 10


def test_slices_run_from_the_hippocampus_to_above_the_ventricles():
    pictures = drawn(draw_person(0, 2, Draws(1, 2, 3)))
    centre = (pictures[:, 30:66, 24:56] < 70).mean(axis=(1, 2))
    assert centre[4] > 3 * centre[7]
    head = (pictures > 20).mean(axis=(1, 2))
    assert head[7] < 0.9 * head[3]
    assert pictures[:, :2].max() < 10  # the head is whole, in a dark frame


def test_slices_give_their_person_away(default):
    """Nearest neighbour on raw pixels: worth a lot when a person's other slices may be found, little when not."""
    rows = rows_of(default)
    pictures = flat([pixels_of(default / row["path"]) for row in rows])
    labels = np.array([CLASSES.index(row["class"]) for row in rows])
    people = np.array([row["subject"] for row in rows])
    alike = pictures @ pictures.T
    np.fill_diagonal(alike, -1)
    leaky = balanced_accuracy_score(labels, labels[alike.argmax(axis=1)])
    alike[people[:, None] == people] = -1
    apart = balanced_accuracy_score(labels, labels[alike.argmax(axis=1)])
    assert leaky > 0.75
    assert apart < 0.5


def by_hand(row):
    """Densities of one manifest row under the three stages, from the published numbers."""
    age, nwbv, vbr, csf, hippocampus = (float(row[k]) for k in ("age", "nwbv", "vbr", "csf", "hippocampus"))
    answer = []
    for k in range(3):
        mean = (0.062, 0.075, 0.088)[k]
        variance = mean - (mean**2 - 0.03**2 / 2) ** 0.5
        answer.append(
            NormalDist(*((75.9, 9.0), (76.2, 7.2), (77.8, 7.0))[k]).pdf(age)
            * NormalDist(0.9961 - 0.00321 * age - (0.0, 0.022, 0.040)[k], 0.030).pdf(nwbv)
            * NormalDist((mean - variance) ** 0.5, variance**0.5).pdf(vbr**0.5)
            * NormalDist((0.169, 0.186, 0.201)[k], 0.024).pdf(csf)
            * NormalDist((1.0, 0.87, 0.78)[k], 0.11).pdf(hippocampus)
        )
    return np.array(answer)


def test_ceiling_equals_bayes_rule_by_hand(default):
    best = ceiling(default)
    assert all(np.isfinite(value) for value in best.values())
    assert best["test_people"] == 40

    people = {row["subject"]: row for row in rows_of(default) if row["split"] == "test"}.values()
    truth = np.array([CLASSES.index(row["class"]) for row in people])
    densities = np.stack([by_hand(row) for row in people])
    posterior = densities * [0.4, 0.3, 0.3]
    posterior /= posterior.sum(axis=1, keepdims=True)
    assert best["test_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, densities.argmax(axis=1)))
    assert best["test_accuracy"] == pytest.approx((posterior.argmax(axis=1) == truth).mean())
    assert best["test_macro_auroc"] == pytest.approx(roc_auc_score(truth, posterior, multi_class="ovr"))

    drawn = [[vars(draw_person(0, 0, Draws(13, k, n), stage=k)) for n in range(1, 1001)] for k in range(3)]
    recall = [np.mean([by_hand(row).argmax() == k for row in drawn[k]]) for k in range(3)]
    assert best["balanced_accuracy"] == pytest.approx(np.mean(recall), abs=0.03)  # 3 standard errors
    assert 0.60 < best["balanced_accuracy"] < 0.70


def test_ceiling_of_permuted_labels_is_guessing(planted):
    folder, _ = planted("random_labels")
    best = ceiling(folder)
    assert best["balanced_accuracy"] == pytest.approx(1 / 3)
    assert best["macro_auroc"] == pytest.approx(0.5)
    assert best["accuracy"] == pytest.approx(0.4)


def test_leak_puts_people_on_both_sides(planted, small):
    _, rows = planted("leak")
    sides = defaultdict(set)
    for row in rows:
        sides[row["subject"]].add(row["split"])
    assert sum(len(side) == 2 for side in sides.values()) > 10
    assert all(row["fault"] == ("leak" if len(sides[row["subject"]]) == 2 else "") for row in rows)
    assert 0.25 < np.mean([row["split"] == "test" for row in rows]) < 0.55
    assert sorted(row["path"].split("/")[-1] for row in rows) == sorted(
        row["path"].split("/")[-1] for row in rows_of(small)
    )


def test_duplicates_are_changed_copies_in_train_under_new_names(planted, small):
    folder, rows = planted("duplicates")
    copies = [row for row in rows if row["fault"]]
    originals = {row["path"]: row for row in rows if row["split"] == "test"}
    assert len(copies) == round(0.3 * len(originals)) == 10
    assert pictures_of(small).items() <= pictures_of(folder).items()
    assert len(pictures_of(folder)) == len(pictures_of(small)) + len(copies)
    names = [row["path"].split("/")[-1].split("_")[0] for row in copies]
    assert len({row["subject"] for row in rows_of(small)} | set(names)) == 20 + 10

    tests = [pixels_of(folder / path) for path in originals]
    tests = flat(tests + [picture[:, ::-1] for picture in tests])
    for row in copies:
        source = row["fault"].removeprefix("duplicate of ")
        assert (row["split"], row["class"]) == ("train", originals[source]["class"])
        assert row["subject"] == originals[source]["subject"]
        alike = (tests @ flat([pixels_of(folder / row["path"])])[0]).reshape(2, -1).max(axis=0)
        assert list(originals)[alike.argmax()] == source
        assert alike.max() < 0.99


def test_synthetic_images_fill_the_smallest_class_in_train(planted, small):
    folder, rows = planted("synthetic")
    train = Counter(row["class"] for row in rows if row["split"] == "train")
    made = [row for row in rows if row["fault"] == "synthetic"]
    before = Counter(row["class"] for row in rows_of(small) if row["split"] == "train")
    smallest = made[0]["class"]
    assert before[smallest] == min(before.values())
    assert train[smallest] == max(before.values()) == before[smallest] + len(made)
    assert pictures_of(small).items() <= pictures_of(folder).items()
    assert [row["path"] for row in made][0] == f"train/{smallest}/synth_0001.png"
    assert {row["subject"] + row["age"] + row["vbr"] for row in made} == {""}

    def grain(row):
        picture = pixels_of(folder / row["path"]).astype(float)
        return np.abs(np.diff(picture, 2, axis=0)).mean() / picture.std()

    assert max(grain(row) for row in made) < min(grain(row) for row in rows if not row["fault"])


def test_random_labels_are_permuted_over_people(planted, small):
    folder, rows = planted("random_labels")
    assert {row["fault"] for row in rows} == {"random_labels"}
    classes = {row["subject"]: (row["split"], row["class"]) for row in rows}
    clean = {row["subject"]: (row["split"], row["class"]) for row in rows_of(small)}
    assert Counter(classes.values()) == Counter(clean.values())
    assert all(classes[row["subject"]] == (row["split"], row["class"]) for row in rows)
    assert sum(classes[s] != clean[s] for s in clean) > 5
    truth = {row["subject"]: row["stage"] for row in rows_of(small)}
    assert all(row["stage"] == truth[row["subject"]] for row in rows)
    assert sorted(pictures_of(folder).values()) == sorted(pictures_of(small).values())


def test_confounded_age_tells_the_class(planted, small):
    folder, rows = planted("age")
    assert {row["fault"] for row in rows} == {"age"}
    nearest = [int(np.argmin([abs(float(row["age"]) - mean) for mean in (52, 67, 82)])) for row in rows]
    assert balanced_accuracy_score([CLASSES.index(row["class"]) for row in rows], nearest) > 0.7
    assert ceiling(folder)["balanced_accuracy"] > ceiling(small)["balanced_accuracy"] + 0.15


def test_damaged_files_fail_and_unusual_ones_open(planted, small):
    folder, rows = planted("damaged")
    kinds = Counter(row["fault"] for row in rows)
    assert set(kinds) == {"", "truncated", "empty", "16-bit", "rgba", "palette"}
    modes = {"16-bit": "I;16", "rgba": "RGBA", "palette": "P", "": "L"}
    for row in rows:
        if row["fault"] in ("truncated", "empty"):
            assert ((folder / row["path"]).stat().st_size == 0) == (row["fault"] == "empty")
            with pytest.raises(OSError, match="cannot identify|truncated"):
                pixels_of(folder / row["path"])
            continue
        with Image.open(folder / row["path"]) as image:
            assert image.mode == modes[row["fault"]]
            pixels = np.asarray(image) // 257 if row["fault"] == "16-bit" else np.asarray(image.convert("L"))
        np.testing.assert_array_equal(pixels, pixels_of(small / row["path"]))


def test_damage_stays_below_one_percent_of_a_split():
    slices = [phantom.Slice(None, 0, 0, split, f"{n}.png", None) for split in ("train", "test") for n in range(320)]
    broken = [one for one in phantom.plant(slices, ("damaged",), 0) if {"truncated", "empty"} & set(one.faults)]
    assert Counter(one.split for one in broken) == {"train": 2, "test": 2}


def test_faults_go_together(planted):
    folder, rows = planted(*FAULTS)
    found = {fault.split(" of ")[0] for row in rows for fault in row["fault"].split(";")}
    assert found == {"age", "random_labels", "leak", "duplicate", "synthetic"} | {
        "truncated", "empty", "16-bit", "rgba", "palette",
    }  # fmt: skip
    assert {row["path"] for row in rows} == set(pictures_of(folder))
    assert len(rows) == len({row["path"] for row in rows})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"faults": ("leek",)}, "'leek'.*age, random_labels, leak, duplicates, synthetic, damaged"),
        ({"people": 9}, "people is 9, it must be at least 10"),
        ({"slices": 0}, "slices is 0, it must be at least 1"),
        ({"seed": -1}, "seed is -1, it must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_phantom(tmp_path / "out", **{**SMALL, **change})
    assert not any(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        make_phantom(tmp_path, **SMALL)
    with pytest.raises(ValueError, match="no manifest"):
        ceiling(tmp_path)


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(pixels, kind):
        assert not (tmp_path / "out").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "encode_png", stop)
    with pytest.raises(KeyboardInterrupt):
        make_phantom(tmp_path / "out", people=10, slices=1)
    assert not any(tmp_path.iterdir())


def test_the_set_appears_whole_by_one_rename(tmp_path, monkeypatch):
    moves, rename = [], Path.rename

    def watch(part, out):
        assert not out.exists()
        assert part.parent == out.parent
        moves.append(len(pictures_of(part)) == len(rows_of(part)) == 20)
        return rename(part, out)

    monkeypatch.setattr(Path, "rename", watch)
    make_phantom(tmp_path / "out", people=10, slices=2)
    assert moves == [True]


def test_command_line(tmp_path, call_script):
    command = [str(tmp_path / "set"), "--people", "10", "--slices", "3", "--fault", "leak", "--fault", "damaged"]
    code, said, err = call_script(main, *command, "--contact_sheet", str(tmp_path / "sheet.png"))
    assert (code, err) == (0, "")
    assert "10 patients" in said
    assert "leak, damaged" in said
    assert "balanced accuracy 69" in said
    assert pixels_of(tmp_path / "sheet.png").shape == (3 * (14 + 3 * 96), 3 * 80)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    new = str(tmp_path / "new")
    for wrong in (command, [new, "--fault", "no"], [new, "--people", "ten"], [], [str(tmp_path / "link")],
                  [new, "--contact_sheet", str(tmp_path / "no" / "s.png")],
                  [new, "--contact_sheet", str(tmp_path / "s.xyz")]):
        code, _, err = call_script(main, *wrong)
        assert (code, err.count("\n")) == (2, 1), wrong
        assert not (tmp_path / "new").exists(), "nothing is left that a second try would meet"


def test_contact_sheet_shows_every_class(default):
    sheet = np.asarray(contact_sheet(default, rows_per_class=2))
    assert sheet.shape == (3 * (14 + 2 * 96), 8 * 80)
    first = next(row for row in rows_of(default) if row["class"] == "VeryMildDemented")
    np.testing.assert_array_equal(sheet[220:316, :80], pixels_of(default / first["path"]))
