"""The faults that can be planted in the phantom, recorded in the manifest's `fault` column.

    age            age depends on the stage (mean ages 52, 67, 82) and is visible: every row says `age`
    random_labels  classes are permuted over the patients of a split: every row says `random_labels`; `stage` stays true
    leak           slices, not patients, are split: `leak` where a slice's patient is in train and in test
    duplicates     rotated, shifted, brightened or flipped copies of 30 % of the test slices are in train under new
                   subjects' names: `duplicate of PATH`; `subject` stays true
    synthetic      the smallest class is filled up in train to the largest with over-smooth images that carry an
                   upsampling pattern and are named synth_0001.png: `synthetic`; subject and quantities are empty
    damaged        a few files are cut in half (`truncated`) or have no bytes (`empty`); others are sound but of an
                   unusual kind (`16-bit`, `rgba`, `palette`)

`age` acts when patients are drawn, the others here, in this order, on the list of slices. A row with several faults
lists them all, separated by semicolons.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from data_setup.phantom.anatomy import render
from data_setup.phantom.people import CLASSES, Draws, Person, draw_person
from data_setup.phantom.shapes import HEIGHT, WIDTH, turn
from functions.runtime.errors import UserError

FAULTS = ("age", "random_labels", "leak", "duplicates", "synthetic", "damaged")
UNREADABLE, UNUSUAL = {"truncated", "empty"}, {"16-bit", "rgba", "palette"}
TEST_SHARE, COPIED_SHARE = 0.4, 0.3


@dataclass
class Slice:
    """One file to be: `label` indexes CLASSES, `pixels` is uint8 (HEIGHT, WIDTH); a synthetic one has no `person`."""

    person: Person | None
    index: int
    label: int
    split: str
    name: str
    pixels: np.ndarray
    faults: list[str] = field(default_factory=list)

    @property
    def path(self):
        return f"{self.split}/{CLASSES[self.label]}/{self.name}"


def check_faults(faults):
    """UserError, listing the known faults, if one of these is none of them."""
    for fault in faults:
        if fault not in FAULTS:
            raise UserError(f"no fault is called {fault!r}; the known ones are {', '.join(FAULTS)}")


def plant(slices, faults, seed):
    """The list of slices with the faults planted; each fault has its own stream of random numbers."""
    planters = {
        "random_labels": permute_labels,
        "leak": split_slices,
        "duplicates": add_duplicates,
        "synthetic": add_synthetic,
        "damaged": damage,
    }
    for number, fault in enumerate(FAULTS, start=1):
        if fault in faults and fault in planters:
            slices = planters[fault](slices, seed, Draws(seed, number, 3))
        elif fault in faults:
            for one in slices:
                one.faults.append(fault)
    return slices


def permute_labels(slices, seed, draws):
    for split in ("train", "test"):
        people = list({one.person.number: one.person for one in slices if one.split == split}.values())
        labels = {person.number: people[i].stage for person, i in zip(people, draws.order(len(people)), strict=True)}
        for one in slices:
            if one.split == split:
                one.label = labels[one.person.number]
    for one in slices:
        one.faults.append("random_labels")
    return slices


def split_slices(slices, seed, draws):
    for one, chance in zip(slices, draws.uniform(0.0, 1.0, (len(slices),)), strict=True):
        one.split = "test" if chance < TEST_SHARE else "train"
    sides = {split: {one.person.number for one in slices if one.split == split} for split in ("train", "test")}
    for one in slices:
        if one.person.number in sides["train"] & sides["test"]:
            one.faults.append("leak")
    return slices


def add_duplicates(slices, seed, draws):
    originals = [one for one in slices if one.split == "test"]
    chosen = sorted(draws.order(len(originals))[: round(COPIED_SHARE * len(originals))])
    newcomer = max(one.person.number for one in slices) + 2
    copies = []
    for number, one in enumerate((originals[i] for i in chosen), start=newcomer):
        name = f"sub-{number:03d}_ses-1_z{one.index:02d}.png"
        faults = [*one.faults, f"duplicate of {one.path}"]
        copies.append(replace(one, split="train", name=name, pixels=augment(one.pixels, draws), faults=faults))
    return slices + copies


def augment(pixels, draws):
    """A copy turned by 1-4 degrees, shifted by up to 1.5 pixels, 6-15 % brighter or darker, half the time mirrored."""
    signs = np.where(draws.uniform(0.0, 1.0, (2,)) < 0.5, -1.0, 1.0)
    cosine, sine = turn(signs[0] * draws.uniform(0.0087, 0.035))
    move_x, move_y = draws.uniform(-1.5, 1.5, (2,))
    gain = 1.0 + signs[1] * draws.uniform(0.06, 0.15)
    mirror = draws.uniform(0.0, 1.0) < 0.5
    x, y = np.arange(WIDTH) - (WIDTH - 1) / 2, (np.arange(HEIGHT) - (HEIGHT - 1) / 2)[:, None]
    from_x = cosine * x + sine * y + (WIDTH - 1) / 2 + move_x
    from_y = cosine * y - sine * x + (HEIGHT - 1) / 2 + move_y
    from_x, from_y = np.clip(from_x, 0.0, WIDTH - 1.001), np.clip(from_y, 0.0, HEIGHT - 1.001)
    column, row = np.floor(from_x).astype(int), np.floor(from_y).astype(int)
    right, down = from_x - column, from_y - row
    source = pixels.astype(np.float64)
    above = source[row, column] + right * (source[row, column + 1] - source[row, column])
    below = source[row + 1, column] + right * (source[row + 1, column + 1] - source[row + 1, column])
    copy = np.floor(np.minimum(gain * (above + down * (below - above)), 255.0) + 0.5).astype(np.uint8)
    return copy[:, ::-1].copy() if mirror else copy


def add_synthetic(slices, seed, draws):
    counts = [sum(one.split == "train" and one.label == label for one in slices) for label in range(len(CLASSES))]
    label = max(range(len(CLASSES)), key=lambda k: (-counts[k], k))  # the later stage where two are equally small
    depth = 1 + max(one.index for one in slices)
    made = []
    for number in range(max(counts) - counts[label]):
        stream = Draws(seed, number // depth, 4)
        if number % depth == 0:
            pictures = render(draw_person(seed, 0, stream, stage=label), depth, stream)
        name = f"synth_{number + 1:04d}.png"
        made.append(Slice(None, number % depth, label, "train", name, smooth(pictures[number % depth]), ["synthetic"]))
    return slices + made


def smooth(pixels):
    """Blurred twice over 3 x 3 pixels, then every other pixel 3 levels up: the grid that upsampling networks leave."""
    image = pixels.astype(np.float64)
    for axis in (0, 1, 0, 1):
        image = (np.roll(image, 1, axis) + image + np.roll(image, -1, axis)) / 3.0
    image[::2, ::2] += 3.0
    return np.floor(np.minimum(image, 255.0) + 0.5).astype(np.uint8)


def damage(slices, seed, draws):
    for split in ("train", "test"):
        whole = [one for one in slices if one.split == split]
        order = iter(draws.order(len(whole)))
        for kind in sorted(UNREADABLE) + sorted(UNUSUAL):
            for _ in range(max(1, len(whole) // (240 if kind in UNREADABLE else 40))):  # under 1 % cannot be read
                whole[next(order)].faults.append(kind)
    return slices
