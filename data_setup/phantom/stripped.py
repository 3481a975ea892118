"""Generated brains for pretraining: slices without skull at any level, and the quantities that a network can learn.

The built-in data set draws the five quantities of a patient by stage (`people.py`). Here they are independent and
uniform over wider ranges, so that a network has to see each of them by itself; a patient of the built-in set can be
drawn in the same way. A patient depends on the seed and its number only.
"""

import numpy as np

from data_setup.phantom.anatomy import PHANTOM, Style, acquire, draw_tissue
from data_setup.phantom.people import Draws, Person, draw_person
from data_setup.phantom.shapes import HEIGHT, WIDTH, inside

# published: the built-in data set, with skull; stripped: without skull; fine: more sulci and other contrasts, too
KINDS = ("published", "stripped", "fine")
RANGES = {"age": (55.0, 95.0), "nwbv": (0.64, 0.86), "root_vbr": (0.12, 0.46), "csf": (0.125, 0.265),
          "hippocampus": (0.5, 1.2)}
LEVELS = (0.26, 0.84)                 # from the midbrain to the roof of the lateral ventricles
QUANTITIES = ("root_vbr", "csf", "nwbv", "age", "hippocampus", "ventricle_share", "sulcus_share", "level")
FINE_SULCI = 22


def draw_uniform(number, draws):
    """A patient whose quantities are independent, uniform in RANGES; its stage is 0."""
    sex = "F" if draws.uniform(0.0, 1.0) < 0.65 else "M"
    values = {name: draws.uniform(*RANGES[name]) for name in RANGES}
    root = values.pop("root_vbr")
    return Person(number, 0, "train", sex, vbr=root * root, **values)


def draw_style(kind, draws):
    """The style of one patient: that of the built-in set, or for "fine" with brightness and contrast of its own."""
    if kind != "fine":
        return PHANTOM
    white, grey, fluid = draws.uniform(0.74, 0.95), draws.uniform(0.42, 0.64), draws.uniform(0.05, 0.22)
    return Style(FINE_SULCI, fluid, grey, grey + 0.42 * (white - grey), white, fine=True)


def draw_brain(kind, patient, levels, draws):
    """One patient's slices at `levels`: uint8 (slices, HEIGHT, WIDTH) and quantities (slices, 8), as in QUANTITIES.

    The shares are those of a slice's fluid in ventricles and in sulci, of the area of its brain. Without skull, an
    image ends 0 to 1.5 pixels outside the brain, as masks of skull-stripping programs do.
    """
    tissue = draw_tissue(patient, levels, draws, draw_style(kind, draws))
    brain = inside(-tissue.rim - draws.uniform(0.0, 1.5))
    if kind == "fine":
        tissue.identity.texture *= 1.5
    images = acquire(tissue, draws, None if kind == "published" else brain)
    area = np.maximum(brain.sum(axis=(1, 2)), 1.0)
    ventricles, sulci = tissue.fluid * tissue.in_ventricle, tissue.fluid * (tissue.in_sulcus & ~tissue.in_ventricle)
    of_patient = (np.sqrt(patient.vbr), patient.csf, patient.nwbv, patient.age, patient.hippocampus)
    columns = [np.full(len(levels), value) for value in of_patient]
    columns += [share.sum(axis=(1, 2)) / area for share in (ventricles, sulci)] + [tissue.levels]
    return images, np.stack(columns, axis=1)


def draw_brains(kind, numbers, slices, seed, by_stage=False):
    """Images (people, slices, HEIGHT, WIDTH), quantities (people, slices, 8) and stages of the patients `numbers`.

    Levels are random for the uniform patients, and evenly spaced for those drawn by stage, whose number starts anew.
    """
    images = np.zeros((len(numbers), slices, HEIGHT, WIDTH), dtype=np.uint8)
    quantities, stages = np.zeros((len(numbers), slices, len(QUANTITIES)), dtype=np.float32), []
    for row, number in enumerate(numbers):
        draws = Draws(seed, number, 4 + by_stage)
        patient = draw_person(seed, number, draws) if by_stage else draw_uniform(number, draws)
        levels = np.linspace(*LEVELS, slices) if by_stage else np.sort(draws.uniform(*LEVELS, (slices,)))
        images[row], quantities[row] = draw_brain(kind, patient, levels, draws)
        stages.append(patient.stage)
    return images, quantities, np.array(stages)
