"""The phantom's patients: stage, age, sex and disease, drawn from known distributions.

Three stages of dementia, by their Clinical Dementia Rating (CDR), overlap in five quantities, all visible in the
slices:

    age          N(mean of the stage, SD of the stage) years
    nwbv         0.9961 - 0.00321 age - loss of the stage + N(0, 0.030): brain volume / volume inside the skull
    vbr          N(m, s)^2: ventricle area / brain area on ventricular slices
    csf          N(mean of the stage, 0.024): share of fluid, drawn as the width of the sulci
    hippocampus  N(mean of the stage, 0.11): volume relative to healthy

Age and nwbv follow OASIS-1 (Marcus et al. 2007; ages 60 and above), vbr and csf the segmentations of its slices,
hippocampus the loss that the literature gives for mild impairment (10-15 %) and mild Alzheimer's disease (15-30 %). m
and s of vbr are computed from the mean of the stage and an SD of 0.030, so that a ventricle is never negative. A normal
number is the sum of twelve uniform ones less 6: mean and SD are exact, and the distribution function is within 0.0024
of the normal one, close enough for `ceiling.py` to use the normal density.
"""

from dataclasses import dataclass

import numpy as np

CLASSES = ("NonDemented", "VeryMildDemented", "MildDemented")  # in order of stage, which is not the alphabet's
CDR = (0.0, 0.5, 1.0)
# Class ratio 4:3:3, so that each class has at least 12 test patients per 100, enough for a balanced accuracy.
# (OASIS-1's 50 : 35 : 14 leaves five.)
SHARES = (0.4, 0.3, 0.3)
BLOCK = (0, 0, 1, 1, 2, 0, 2, 1, 0, 2)  # the stages of ten patients
LATENTS = ("age", "nwbv", "vbr", "csf", "hippocampus")

AGE = ((75.9, 9.0), (76.2, 7.2), (77.8, 7.0))
AGE_CONFOUNDED = ((52.0, 8.0), (67.0, 6.0), (82.0, 6.0))
NWBV_LOSS, NWBV_SD = (0.0, 0.022, 0.040), 0.030
VBR, VBR_SD = (0.062, 0.075, 0.088), 0.030
CSF, CSF_SD = (0.169, 0.186, 0.201), 0.024
HIPPOCAMPUS, HIPPOCAMPUS_SD = (1.0, 0.87, 0.78), 0.11


class Draws:
    """A stream of random numbers, determined by its key of integers, on any machine and with any NumPy version.

    53 bits of each raw word of PCG64, which NumPy promises not to change, make a uniform number in [0, 1).
    """

    def __init__(self, *key):
        self.bits = np.random.PCG64(list(key))

    def uniform(self, low, high, shape=()):
        count = int(np.prod(shape, dtype=int))
        words = self.bits.random_raw(count).reshape(shape)
        return low + (high - low) * ((words >> np.uint64(11)).astype(np.float64) * (1 / 9007199254740992))

    def normal(self, mean, sd):
        total = 0.0
        for value in self.uniform(0.0, 1.0, (12,)).tolist():
            total += value
        return mean + sd * (total - 6.0)

    def order(self, count):
        """A random order of 0 .. count - 1."""
        return np.argsort(self.uniform(0.0, 1.0, (count,)), kind="stable").tolist()


@dataclass(frozen=True)
class Person:
    """One generated patient: `stage` indexes CLASSES, `split` is train or test, the rest are the module's quantities.
    """

    number: int
    stage: int
    split: str
    sex: str
    age: float
    nwbv: float
    vbr: float
    csf: float
    hippocampus: float

    @property
    def subject(self):
        return f"sub-{self.number + 1:03d}"


def vbr_root(stage):
    """(m, s) such that N(m, s)^2 has the stage's mean m^2 + s^2 and the variance 4 m^2 s^2 + 2 s^4 = VBR_SD^2."""
    mean = VBR[stage]
    variance = mean - float(np.sqrt(mean * mean - VBR_SD * VBR_SD / 2))
    return float(np.sqrt(mean - variance)), float(np.sqrt(variance))


def stage_and_split(seed, number):
    """A patient's stage and split, shuffled within blocks of ten, so that neither depends on the number of patients.

    Every ten patients have the stages 4 : 3 : 3 and are 6 : 4 in train and test, with every class in both; every fifty
    have exactly 40 % of each class in test.
    """
    block, place = divmod(number, 10)
    slot = Draws(seed, block, 1).order(10)[place]
    return BLOCK[slot], "test" if (slot + block) % 5 in (1, 3) else "train"


def healthy_nwbv(age):
    """The mean brain volume without dementia at this age (OASIS-1, CDR 0)."""
    return 0.9961 - 0.00321 * age


def draw_person(seed, number, draws, confounded=False, stage=None):
    """Patient `number` of the phantom `seed`, from the stream `draws`.

    `confounded` makes age depend on the stage; a given `stage` replaces the patient's own.
    """
    own, split = stage_and_split(seed, number)
    stage = own if stage is None else stage
    sex = "F" if draws.uniform(0.0, 1.0) < 0.65 else "M"
    age = draws.normal(*(AGE_CONFOUNDED if confounded else AGE)[stage])
    nwbv = healthy_nwbv(age) - NWBV_LOSS[stage] + draws.normal(0.0, NWBV_SD)
    root = draws.normal(*vbr_root(stage))
    csf = draws.normal(CSF[stage], CSF_SD)
    hippocampus = draws.normal(HIPPOCAMPUS[stage], HIPPOCAMPUS_SD)
    return Person(number, stage, split, sex, age, nwbv, root * root, csf, hippocampus)
