"""Renders a phantom patient: identity and disease → axial T1-like slices, 96 high and 80 wide.

Axial view from above with the forehead up. Every structure is a signed distance d (pixels, negative inside), which a
smooth step turns into a pixel's coverage. The brain is bounded by its outer contour and by the sulci, and the cortex is
the ribbon next to that boundary:

    depth = min(distance to the contour, distance to the nearest sulcus)
    fluid where depth < 0, grey matter up to the ribbon's thickness, white matter beyond

Identity (skull, sulci, ventricle shape, bias field, contrast, texture) is drawn independently of the stage.
"""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from data_setup.phantom.shapes import HEIGHT, WIDTH, capsule, inside, paint, smooth_noise, step, turn

SCALP, BONE = 0.62, 0.05


class Style(NamedTuple):
    """How brains are drawn: sulci on each side, brightness of the tissues; `fine` sulci are closer and more winding."""

    sulci: int = 13
    fluid: float = 0.10
    grey: float = 0.52
    deep_grey: float = 0.66
    white: float = 0.86
    fine: bool = False


PHANTOM = Style()       # of the built-in data set


def draw_identity(draws, sex, sulci=PHANTOM.sulci):
    """One patient's anatomy apart from disease; lengths in pixels."""
    u, size = draws.uniform, 1.015 if sex == "M" else 0.985
    place = (2.0 * np.arange(sulci) + 1.0 - sulci) / sulci
    return SimpleNamespace(
        half_width=size * u(29.4, 33.0), half_length=size * u(37.0, 41.6), tilt=u(-0.05, 0.05), x=u(-1.5, 1.5),
        y=u(-2.0, 2.0), egg=u(0.02, 0.14), petalia=u(-1.2, 1.2), shift=u(-1.2, 1.2), skull=u(1.2, 2.2),
        scalp=u(1.2, 2.8), level=u(-0.03, 0.03), ribbon=u(1.9, 2.5), square=u(-0.05, 0.05),
        sulcus_place=np.stack([place, place]) + u(-0.06, 0.06, (2, sulci)), sulcus_depth=u(5.0, 14.0, (2, sulci)),
        sulcus_tilt=u(-0.5, 0.5, (2, sulci)), sulcus_bend=u(-0.05, 0.05, (2, sulci)),
        sulcus_drift=u(-0.15, 0.15, (2, sulci)), sylvian=u(-0.05, 0.05, (2,)),
        horn_spread=u(0.85, 1.15), horn_length=u(0.9, 1.12), back_horn=u(0.7, 1.2), horn_bend=u(-0.02, 0.03),
        ventricle_asymmetry=u(-0.14, 0.14), nuclei=u(0.92, 1.08), cistern=u(0.0, 0.8),
        bias=u(-0.10, 0.10, (5,)), gain=u(0.88, 1.06), white=u(-0.03, 0.03), grey=u(-0.05, 0.05),
        scalp_light=u(-0.16, 0.16), noise=u(0.012, 0.03), texture=u(0.02, 0.05),
    )  # fmt: skip


def head_frame(identity, levels):
    """Pixels → the patient's upright, symmetric frame, in which the inner skull is one ellipse on every level.

    Returns x (to the image's right) and y (to the back) in pixels, the signed distance to the ellipse, and the distance
    from the centre relative to the ellipse's.
    """
    x = np.arange(WIDTH) - (WIDTH - 1) / 2 - identity.x
    y = (np.arange(HEIGHT) - (HEIGHT - 1) / 2 - identity.y)[:, None]
    cosine, sine = turn(identity.tilt)
    x, y = cosine * x + sine * y, cosine * y - sine * x
    back = y / identity.half_length
    x = x / (1.0 + identity.egg * back - identity.square * back * back) + identity.petalia * back * (1.0 - back * back)
    low, high = 0.35 - np.minimum(levels, 0.35), np.maximum(levels, 0.35) - 0.35
    size = (1.0 - 0.35 * low * low - 0.34 * high * high)[:, None, None]
    x, y = x / size, y / size
    across, along = x / identity.half_width, y / identity.half_length
    ratio = np.sqrt(across * across + along * along) + 1e-9
    to_skull = (ratio - 1.0) * np.sqrt(x * x + y * y) / ratio
    return x - identity.shift * np.maximum(1.0 - ratio * ratio, 0.0), y, to_skull, ratio


def sulci(identity, x, y, levels, size):
    """Distance from every pixel to the middle of the nearest ordinary sulcus; `size` is brain / inner skull."""
    nearest = np.full(x.shape, 1e6)
    for side, columns in enumerate((slice(0, WIDTH // 2 + 12), slice(WIDTH // 2 - 12, WIDTH))):
        sign = 2.0 * side - 1.0
        xs, ys, best = x[..., columns], y[..., columns], nearest[..., columns]
        for i in range(identity.sulcus_depth.shape[1]):
            place = identity.sulcus_place[side, i] + identity.sulcus_drift[side, i] * (levels - 0.5)
            cosine, sine = turn((place * (0.785 + 0.215 * place * place))[:, None, None])
            lean = identity.sulcus_tilt[side, i]
            length = float(np.sqrt(1.0 + lean * lean))
            step_x, step_y = -sign * (cosine + lean * sine) / length, (lean * cosine - sine) / length
            start_x, start_y = sign * size * identity.half_width * cosine, size * identity.half_length * sine
            along = xs * step_x + ys * step_y - (start_x * step_x + start_y * step_y)
            across = ys * step_x - xs * step_y - (start_y * step_x - start_x * step_y)
            across -= identity.sulcus_bend[side, i] * along * along
            beyond = np.maximum(along - identity.sulcus_depth[side, i], 0.0)
            np.minimum(best, across * across + beyond * beyond, out=best)
    return np.sqrt(nearest)


def fissures(identity, x, y, levels):
    """Distance to the middle of the fissure between the hemispheres and of the two Sylvian fissures with the insula."""
    a, b, t = identity.half_width, identity.half_length, levels[:, None, None]
    above = step(t, 0.72, 0.95)  # over the corpus callosum the fissure runs from front to back
    front, back = b * (0.9 * above - 0.52), b * (0.50 - 0.6 * above)
    bridge = np.minimum(np.maximum(y - front, 0.0), np.maximum(back - y, 0.0))
    nearest = np.sqrt(x * x + bridge * bridge)
    hidden = 60.0 * step(t, 0.52, 0.66)
    for side in (0, 1):
        xs, level = (2.0 * side - 1.0) * x, b * (-0.06 + identity.sylvian[side])
        sylvian = capsule(xs, y, (1.1 * a, level), (0.66 * a, level - 0.05 * b), 0.9, 0.3)
        insula = capsule(xs, y, (0.62 * a, level - 0.22 * b), (0.67 * a, level + 0.20 * b), 0.2, 0.1)
        nearest = np.minimum(nearest, np.minimum(sylvian, insula) + hidden)
    return nearest


def ventricles(identity, x, y, levels, vbr):
    """Signed distance to the lateral ventricles (horns, bodies) and the third one, whose area grows as vbr."""
    a, b, t = identity.half_width, identity.half_length, levels[:, None, None]
    growth = float(np.sqrt(max(vbr, 0.004) / 0.072))  # a slit at least
    side = np.where(x > 0.0, 1.0 + identity.ventricle_asymmetry, 1.0 - identity.ventricle_asymmetry)
    long, wide = float(np.sqrt(growth)), growth * float(np.sqrt(growth)) * side
    x = np.sqrt(x * x + 0.04)
    spread, reach = identity.horn_spread * long, identity.horn_length * long
    middle, front = (0.13 * a, -0.02 * b), (0.30 * a * spread, -0.36 * b * reach)
    atrium = (0.24 * a * spread, 0.24 * b * reach)
    tail = (0.36 * a * spread, 0.44 * b * reach * identity.back_horn)
    body = step(t, 0.34, 0.46) * step(t, 0.90, 0.80)
    horns = step(t, 0.26, 0.40) * step(t, 0.80, 0.66)
    d = capsule(x, y, middle, front, 1.5 * wide * body, 3.6 * wide * horns) + 9.0 * (1.0 - horns)
    d = np.minimum(d, capsule(x, y, middle, atrium, 1.7 * wide * body, 3.6 * wide * horns) + 9.0 * (1.0 - horns))
    d = np.minimum(d, capsule(x, y, atrium, tail, 3.6 * wide * horns, 1.2 * wide * horns) + 9.0 * (1.0 - horns))
    bow = x - identity.horn_bend * y * y / b
    top, end = (0.20 * a * long, -0.24 * b * long), (0.22 * a * long, 0.22 * b * long)
    d = np.minimum(d, capsule(bow, y, top, end, 2.4 * wide * body, 2.9 * wide * body) + 9.0 * (1.0 - body))
    third = step(t, 0.10, 0.22) * step(t, 0.56, 0.44)
    return np.minimum(d, capsule(x, y, (0.0, -0.08 * b), (0.0, 0.14 * b), wide, wide) + 9.0 * (1.0 - third))


def paint_nuclei(image, identity, x, y, levels, style):
    """Caudate, putamen and thalamus on slices around the ventricles."""
    a, b, t, size = identity.half_width, identity.half_length, levels[:, None, None], identity.nuclei
    shown = step(t, 0.16, 0.30) * step(t, 0.72, 0.58)
    caudate = capsule(x, y, (0.27 * a, -0.30 * b), (0.30 * a, -0.16 * b), 3.0 * size, 1.8 * size)
    putamen = capsule(x, y, (0.46 * a, -0.18 * b), (0.50 * a, 0.08 * b), 2.0 * size, 1.6 * size)
    thalamus = capsule(x, y, (0.16 * a, 0.02 * b), (0.22 * a, 0.14 * b), 3.4 * size, 4.2 * size)
    return paint(image, style.deep_grey, 0.9 * shown * inside(np.minimum(np.minimum(caudate, putamen), thalamus), 1.1))


def paint_base(image, identity, x, y, levels, style):
    """Midbrain in its cistern on low slices, cerebellum on the lowest."""
    a, b, t = identity.half_width, identity.half_length, levels[:, None, None]
    low = step(t, 0.34, 0.22)
    peduncle = capsule(x, y, (0.0, 0.10 * b), (0.16 * a, -0.02 * b), 0.13 * a, 0.10 * a)
    tectum = capsule(x, y, (0.0, 0.08 * b), (0.07 * a, 0.17 * b), 0.15 * a, 0.10 * a)
    stem = np.minimum(peduncle, tectum)
    image = paint(image, style.fluid, low * inside(stem - 1.0 - identity.cistern))
    image = paint(image, style.fluid, low * inside(capsule(x, y, (0.0, -0.16 * b), (0.24 * a, -0.12 * b), 2.4, 0.6)))
    image = paint(image, 0.74, low * inside(stem + 0.5))
    lowest = step(t, 0.155, 0.12)
    cerebellum = capsule(x, y, (0.0, 0.60 * b), (0.30 * a, 0.56 * b), 0.28 * b, 0.22 * b)
    rings = np.sqrt(x * x + (y - 0.2 * b) * (y - 0.2 * b)) / 3.6
    leaf = np.abs(rings - np.floor(rings) - 0.5)
    image = paint(image, style.fluid, lowest * inside(cerebellum - 0.6))
    return paint(image, 0.50 + 0.5 * leaf, lowest * inside(cerebellum + 0.7))


def paint_hippocampus(image, identity, x, y, levels, hippocampus, style):
    """Low slices: the hippocampus and, on its outer side, the temporal horn, which grows as the hippocampus shrinks.

    Returns the image and the signed distance to the horn.
    """
    a, b, loss = identity.half_width, identity.half_length, max(1.0 - hippocampus, -0.25)
    body, horn = 3.5 - 5.0 * loss, 3.0 + 7.0 * loss
    shown = step(levels[:, None, None], 0.42, 0.32)
    temporal_horn = capsule(x, y, (0.54 * a, -0.12 * b), (0.58 * a, 0.20 * b), horn, 0.7 * horn)
    image = paint(image, style.fluid, shown * inside(temporal_horn))
    formation = capsule(x, y, (0.47 * a, -0.07 * b), (0.50 * a, 0.20 * b), body, 0.75 * body)
    return paint(image, 0.58, shown * inside(formation)), temporal_horn + 9.0 * (1.0 - shown)


def acquire(tissue, draws, stripped=None):
    """Tissue → the saved image, uint8: bias field, texture, gain and noise, and zero outside the head.

    With `stripped`, the share (slices, HEIGHT, WIDTH) of each pixel that is kept, there is no skull, and zero outside.
    """
    identity, levels = tissue.identity, tissue.levels
    u, v, (b0, b1, b2, b3, b4) = tissue.x / 40.0, tissue.y / 48.0, identity.bias
    image = paint_skull(tissue) if stripped is None else tissue.image
    bias = 1.0 + b0 * u + b1 * v + b2 * u * v + b3 * u * u + b4 * v * v
    texture = 1.0 + smooth_noise(draws, levels, 24, 20, identity.texture)
    noise = draws.uniform(-0.5, 0.5, (4, *tissue.x.shape))
    noise = (noise[0] + noise[1] + noise[2] + noise[3]) * (1.7 * identity.noise)
    kept = inside(tissue.to_skull - identity.skull - identity.scalp) if stripped is None else stripped
    image = kept * (image * bias * texture * identity.gain + noise)
    return np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def even_levels(slices):
    """The levels of a patient's slices, from low to high."""
    return (np.arange(slices) + 0.5) / slices


def draw_tissue(patient, levels, draws, style=PHANTOM):
    """The patient's slices at `levels` (0, low, to 1, high) before the scanner: the brain's `image` (slices, HEIGHT,
    WIDTH), identity, frame, distances (pixels), share of fluid.
    """
    identity = draw_identity(draws, patient.sex, style.sulci)
    levels = np.clip(levels + identity.level, 0.0, 1.0)
    x, y, to_skull, ratio = head_frame(identity, levels)
    size = min(max(0.985 - 0.85 * (0.83 - patient.nwbv), 0.70), 0.985)  # brain / inner skull, across
    gap = max(0.55 + 15.0 * (patient.csf - 0.169), 0.1)  # half of a sulcus's width
    aged = min(max((patient.age - 50.0) / 40.0, 0.0), 1.2)
    bent_x = x + smooth_noise(draws, levels, 10, 8, 3.4)
    bent_y = y + smooth_noise(draws, levels, 10, 8, 3.4)
    if style.fine:
        bent_x, bent_y = (bent + smooth_noise(draws, levels, 22, 18, 1.6) for bent in (bent_x, bent_y))
        gap, identity.ribbon = 1.25 * gap * PHANTOM.sulci / style.sulci, 0.85 * identity.ribbon
    cut = np.minimum(sulci(identity, bent_x, bent_y, levels, size),
                     fissures(identity, 0.6 * x + 0.4 * bent_x, y, levels))
    cut, rim = cut - gap * (0.45 + 0.75 * ratio * ratio), (size - ratio) * (to_skull / (ratio - 1.0 + 1e-12))
    depth = np.minimum(cut, rim)

    white, grey = style.white + identity.white - 0.06 * aged, style.grey + identity.grey
    white_share = inside(identity.ribbon - depth, 0.9)
    image = paint(style.fluid, grey, inside(-depth))
    image = paint(image, white, white_share)
    folded = np.sqrt(x * x + 0.04)  # both sides at once
    image = paint_nuclei(image, identity, folded, y, levels, style)
    image = paint_base(image, identity, folded, y, levels, style)
    image, horn = paint_hippocampus(image, identity, folded, y, levels, patient.hippocampus, style)
    chamber = ventricles(identity, x, y, levels, patient.vbr)
    caps = step(chamber, 1.0 + 2.5 * aged, 0.0) * white_share  # with age, white matter darkens around the ventricles
    image = paint(image, grey, 0.75 * aged * caps)
    image = paint(image, style.fluid, inside(chamber))
    fluid = inside(to_skull) * np.clip((grey - image) / (grey - style.fluid), 0.0, 1.0)      # share of a pixel
    return SimpleNamespace(image=image, identity=identity, levels=levels, x=x, y=y, to_skull=to_skull, rim=rim,
                           fluid=fluid, in_ventricle=np.minimum(chamber, horn) < 0.7,
                           in_sulcus=(cut < 0.7) & (rim > 0.0))


def paint_skull(tissue):
    """The image with bone and scalp around the brain."""
    image = paint(tissue.image, BONE, inside(-tissue.to_skull))
    return paint(image, SCALP + tissue.identity.scalp_light, inside(tissue.identity.skull - tissue.to_skull))


def render(patient, slices, draws):
    """The patient's slices from low (hippocampus) to high (no ventricles) as uint8 (slices, HEIGHT, WIDTH)."""
    return acquire(draw_tissue(patient, even_levels(slices), draws), draws)


def structures(patient, slices, draws):
    """Where the structures of `render`'s slices are: {name: share of each pixel (slices, HEIGHT, WIDTH)}.

    "ventricles": fluid in the lateral and third ventricles and the temporal horns; "sulci": fluid in sulci and fissures
    inside the brain's contour, not the space around the brain; "head": everything up to the skin. The share of fluid
    follows from the tissue's brightness between fluid and grey matter.
    """
    tissue = draw_tissue(patient, even_levels(slices), draws)
    identity = tissue.identity
    return {"ventricles": tissue.fluid * tissue.in_ventricle,
            "sulci": tissue.fluid * (tissue.in_sulcus & ~tissue.in_ventricle),
            "head": inside(tissue.to_skull - identity.skull - identity.scalp)}
