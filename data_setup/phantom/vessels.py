"""The phantom of vessels: X-ray-angiogram-like images of generated coronary trees, normal or with a stenosis.

    python -m data_setup.phantom OUT --kind vessels --people 80 --slices 4 --seed 0

A patient has one tree of contrast-filled vessels, which every view shows rotated, foreshortened and shifted, on another
part of an uneven background. Somewhere in the middle of the main vessel a share `degree` of the diameter is lost:

    degree   N(0.20, 0.12) if normal, N(0.62, 0.14) if abnormal, within 0 .. 0.95

The tree and the background do not depend on the class, and the distributions overlap, so that perfect accuracy is not
possible (`ceiling`). The set tests programs; it says nothing about real patients.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from data_setup.phantom.generate import check_new, check_numbers, encode_png, write_set
from data_setup.phantom.people import Draws
from data_setup.phantom.shapes import smooth_noise, step, turn

CLASSES = ("normal", "abnormal")
SIDE = 128                                       # pixels
DEGREE = ((0.20, 0.12), (0.62, 0.14))            # mean and SD of each class
HIGHEST = 0.95                                   # degree: the vessel is never closed
LOSS = 0.8                                       # of contrast agent behind a stenosis of degree 1
PACE, POINTS = 2.0, 80                           # pixels between two points of a vessel; points of the main one
COLUMNS = ("path", "class", "subject", "split", "view", "degree", "x", "y", "diameter", "length")


@dataclass(frozen=True)
class Patient:
    """`label` indexes CLASSES; the stenosis loses the share `degree` of the diameter, at `place` of the main vessel.

    `place` is a share of the vessel's length, `length` that of the stenosis in pixels.
    """

    number: int
    label: int
    split: str
    degree: float
    place: float
    length: float

    @property
    def subject(self):
        return f"sub-{self.number + 1:03d}"


@dataclass(frozen=True)
class Vessel:
    """A vessel's centre line x, y and radius (points,), in pixels from the centre of the image.

    `filled` (points,) is the share of contrast agent in the blood, `origin` the point of the main vessel, from which it
    comes.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    filled: np.ndarray
    origin: int = 0


def make_vessels(out, people=80, views=4, seed=0):
    """Writes OUT/train/<class>/*.png, OUT/test/<class>/*.png (8-bit gray, 128 x 128) and OUT/manifest.csv.

    Half of the patients are abnormal, 40 % make up test. The manifest has, for each view, the degree of the stenosis,
    its centre (pixels from the left and from the top), the vessel's diameter there without it, and its length. Returns
    OUT. UserError as `make_phantom` raises.
    """
    out = check_new(out)
    check_numbers(("people", people, 10), ("slices", views, 1), ("seed", seed, 0))
    files = (file for number in range(people) for file in files_of(seed, number, views))
    return write_set(out, CLASSES, COLUMNS, files)


def files_of(seed, number, views):
    """(bytes, manifest row) of each view of patient `number`, who depends on the seed and the number only."""
    draws = Draws(seed, number, 5)
    patient = draw_patient(seed, number, draws)
    images, lesions = render(patient, views, draws)
    for view, (pixels, lesion) in enumerate(zip(images, lesions, strict=True)):
        name = CLASSES[patient.label]
        path = f"{patient.split}/{name}/{patient.subject}_view-{view + 1}.png"
        truth = [f"{value:.6f}" for value in (patient.degree, *lesion, patient.length)]
        yield encode_png(pixels), (path, name, patient.subject, patient.split, view, *truth)


def draw_patient(seed, number, draws, label=None):
    """Patient `number` of the set `seed`, from the stream `draws`; a given `label` replaces the patient's own.

    Of every ten patients five are abnormal, and two of each class are in test.
    """
    block, place = divmod(number, 10)
    slot = Draws(seed, block, 1).order(10)[place]
    label = slot % 2 if label is None else label
    degree = min(max(draws.normal(*DEGREE[label]), 0.0), HIGHEST)
    return Patient(number, label, "test" if slot in (2, 3, 6, 7) else "train", degree, draws.uniform(0.46, 0.54),
                   draws.uniform(28.0, 40.0))


def draw_vessel(draws, start, heading, points, radii, bend, wiggle, origin=0):
    """A vessel of `points` points from `start`, with `heading` (cosine, sine) first and radii from the first to the
    last.

    `bend` and `wiggle` are tangents of half the angle by which it turns from point to point, always and at random.
    """
    bends = draws.uniform(-wiggle, wiggle, (1 + points // 8,)).tolist()
    (x, y), (cosine, sine), line = start, heading, []
    for point in range(points):
        line.append((x, y))
        turned = turn(bend + bends[point // 8])
        cosine, sine = cosine * turned[0] - sine * turned[1], cosine * turned[1] + sine * turned[0]
        x, y = x + PACE * cosine, y + PACE * sine
    share = np.arange(points) / (points - 1)
    x, y = np.asarray(line).T
    return Vessel(x, y, radii[0] + share * (radii[1] - radii[0]), np.full(points, 1.0), origin)


def draw_tree(draws):
    """The vessels of one patient without a stenosis; the first is the main one, from which the others branch."""
    u = draws.uniform
    cosine, sine = turn(u(-0.1, 0.1))
    trunk = draw_vessel(draws, (0.0, 0.0), (sine, cosine), POINTS, (u(7.5, 9.0), u(5.5, 6.5)), u(-0.002, 0.002), 0.006)
    tree = [trunk]
    for number, place in enumerate((0.2, 0.36, 0.56, 0.7)):
        at = int((place + u(-0.05, 0.05)) * (POINTS - 1))
        side = 1.0 if number % 2 else -1.0
        branch = _branch(draws, trunk, at, side, int(u(22.0, 34.0)))
        tree += [branch, _branch(draws, branch, len(branch.x) // 2, -side, int(u(10.0, 18.0)), at)]
    return tree


def _branch(draws, parent, at, side, points, origin=None):
    """A vessel that leaves `parent` at the point `at` to one side (1 or -1) and slowly bends back."""
    along_x, along_y = parent.x[at + 1] - parent.x[at], parent.y[at + 1] - parent.y[at]
    cosine, sine = turn(side * draws.uniform(0.25, 0.5))
    heading = (cosine * along_x - sine * along_y) / PACE, (sine * along_x + cosine * along_y) / PACE
    width = draws.uniform(0.45, 0.6) * parent.radius[at]
    return draw_vessel(draws, (parent.x[at], parent.y[at]), heading, points, (width, 0.5 * width),
                       -side * draws.uniform(0.0, 0.02), 0.03, at if origin is None else origin)


def add_stenosis(tree, patient):
    """The tree with the patient's stenosis: the main vessel is narrowed gradually from both sides, and the blood behind
    the narrowest point, also of branches, holds less contrast agent, for less flows through.
    """
    trunk = tree[0]
    along = np.arange(POINTS) * PACE
    centre = patient.place * along[-1]
    radius = trunk.radius * (1.0 - patient.degree * step(np.abs(along - centre), 0.5 * patient.length,
                                                         0.15 * patient.length))
    filled = 1.0 - LOSS * patient.degree * step(along, centre, centre + 0.25 * patient.length)
    tree = [replace(vessel, filled=filled[vessel.origin] * vessel.filled) for vessel in tree[1:]]
    return [replace(trunk, radius=radius, filled=filled), *tree]


def chords(vessels):
    """Contrast agent along the ray through each pixel: the share in the blood times sqrt(radius² - distance²), which is
    half of the way through the vessel, (SIDE, SIDE), in pixels.
    """
    deep = np.full((SIDE, SIDE), 0.0)
    grid = np.arange(SIDE) - (SIDE - 1) / 2
    for vessel in vessels:
        line = np.stack([vessel.x, vessel.y, vessel.radius, vessel.filled], axis=1).tolist()
        for (x0, y0, r0, filled), (x1, y1, r1, _) in zip(line, line[1:], strict=False):
            reach, middle = max(r0, r1) + 1.0, (SIDE - 1) / 2
            left, top = (max(int(min(ends) - reach + middle), 0) for ends in ((x0, x1), (y0, y1)))
            right, low = (max(int(max(ends) + reach + middle) + 2, 0) for ends in ((x0, x1), (y0, y1)))
            dx, dy = grid[left:right] - x0, (grid[top:low] - y0)[:, None]
            along_x, along_y = x1 - x0, y1 - y0
            share = np.clip((dx * along_x + dy * along_y) / (along_x * along_x + along_y * along_y + 1e-9), 0.0, 1.0)
            radius = r0 + share * (r1 - r0)
            dx, dy = dx - share * along_x, dy - share * along_y
            part = deep[top:low, left:right]
            half = np.sqrt(np.maximum(radius * radius - dx * dx - dy * dy, 0.0))
            np.maximum(part, filled * half, out=part)
    return deep


def render(patient, views, draws):
    """The patient's views, uint8 (views, SIDE, SIDE), and for each the place (x, y) and diameter of the stenosis.

    All random numbers are drawn independently of the degree, so that a twin without stenosis differs only there.
    """
    at, tree = int(patient.place * (POINTS - 1) + 0.5), draw_tree(draws)
    middle_x, middle_y = tree[0].x[at], tree[0].y[at]
    tree = [replace(vessel, x=vessel.x - middle_x, y=vessel.y - middle_y) for vessel in tree]
    diameter = 2.0 * float(tree[0].radius[at])
    tree = add_stenosis(tree, patient)
    body = smooth_noise(draws, 0.12 * np.arange(views), 4, 4, 0.10, (SIDE, SIDE))
    images, lesions = [], []
    for view in range(views):
        shown = [_seen(vessel, placed) for placed in [_draw_view(draws)] for vessel in tree]
        images.append(_acquire(chords(shown), body[view], draws))
        centre = (SIDE - 1) / 2
        lesions.append((float(shown[0].x[at]) + centre, float(shown[0].y[at]) + centre, diameter))
    return np.stack(images), lesions


def _draw_view(draws):
    """(cosine, sine, shares of width and height that are seen, shift x and y) of one view."""
    u = draws.uniform
    return (*turn(u(-0.06, 0.06)), u(0.88, 1.04), u(0.94, 1.04), u(-3.0, 3.0), u(-3.0, 3.0))


def _seen(vessel, view):
    """A vessel in a view."""
    cosine, sine, wide, high, right, down = view
    x, y = wide * vessel.x, high * vessel.y
    return replace(vessel, x=cosine * x - sine * y + right, y=sine * x + cosine * y + down)


def _acquire(deep, body, draws):
    """Vessels and body → the saved image, uint8: contrast agent darkens, up to a limit; quantum noise."""
    u = draws.uniform
    level, contrast, sigma = u(0.63, 0.71), u(0.80, 0.95), u(0.03, 0.05)
    tissue = level + body + smooth_noise(draws, [0.0], 9, 9, 0.05, (SIDE, SIDE))[0]
    noise = draws.uniform(-0.5, 0.5, (4, SIDE, SIDE))
    noise = (noise[0] + noise[1] + noise[2] + noise[3]) * (1.7 * sigma)
    image = tissue * (1.0 - contrast * deep / (deep + 6.0)) + noise
    return np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def ceiling():
    """The best possible accuracy and AUROC of one prediction per patient, from the degree alone, in expectation.

    The rule with the least error calls a patient abnormal from the degree t on at which both densities are equal; half
    of the patients are abnormal. AUROC = Φ((m₁ - m₀) / √(s₀² + s₁²)) for N(m₀, s₀²) and N(m₁, s₁²).
    """
    normal, abnormal = (NormalDist(*numbers) for numbers in DEGREE)
    low, high = normal.mean, abnormal.mean                # the densities cross once between the means
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if normal.pdf(middle) > abnormal.pdf(middle) else (low, middle)
    gap = NormalDist(abnormal.mean - normal.mean, (normal.variance + abnormal.variance) ** 0.5)
    return {"accuracy": (normal.cdf(low) + 1 - abnormal.cdf(low)) / 2, "auroc": 1 - gap.cdf(0.0)}
