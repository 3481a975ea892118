"""The authors' hybrid in NumPy, float64, from the definitions and in JAX's axis order; and arrays in their layout.

Nothing here is shared with the code under test. Source: google-research/vision_transformer, vit_jax/models_resnet.py
and models_vit.py: kernels standardised over (height, width, in) by the population's deviation + 1e-5, GroupNorm of 32
groups and epsilon 1e-6, SAME padding with the odd pixel at the end.
"""

import numpy as np

from tests.models import jax_reference


def stem_arrays(units, width, seed=5):
    """A stem as the authors' .npz files name and shape it, norms with their axes of one."""
    draw = np.random.default_rng(seed)
    arrays = {}

    def conv(name, size, channels, features):
        arrays[f"{name}/kernel"] = draw.normal(0.1, 0.5, (size, size, channels, features)).astype(np.float32)

    def norm(name, channels):
        arrays[f"{name}/scale"] = draw.normal(1, 0.3, (1, 1, 1, channels)).astype(np.float32)
        arrays[f"{name}/bias"] = draw.normal(0, 0.3, (1, 1, 1, channels)).astype(np.float32)

    conv("conv_root", 7, 3, width)
    norm("gn_root", width)
    channels = width
    for stage, count in enumerate(units):
        features = width * 2**stage
        for unit in range(count):
            at = f"block{stage + 1}/unit{unit + 1}"
            if unit == 0:
                conv(f"{at}/conv_proj", 1, channels, 4 * features)
                norm(f"{at}/gn_proj", 4 * features)
            for number, (size, before, after) in enumerate(((1, channels, features), (3, features, features),
                                                            (1, features, 4 * features)), 1):
                conv(f"{at}/conv{number}", size, before, after)
                norm(f"{at}/gn{number}", after)
            channels = 4 * features
    return arrays


def make_arrays(units, width, patch=1, **options):
    """The arrays of a whole hybrid whose map has 2 x 3 patches."""
    arrays = jax_reference.make_arrays(patch, 12, 3, 20, 2, (2, 3), 5, **options)
    draw, channels = np.random.default_rng(8), width * 2 ** (len(units) + 1) if units else width
    arrays["embedding/kernel"] = draw.normal(0, 0.05 / patch, (patch, patch, channels, 12)).astype(np.float32)
    return arrays | stem_arrays(units, width)


def windows(x, size, stride, fill):
    """Every SAME window of x (B, H, W, C): (B, ⌈H/s⌉, ⌈W/s⌉, size, size, C); the odd pixel of padding comes last."""
    pads = []
    for side in x.shape[1:3]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return view.transpose(0, 1, 2, 4, 5, 3)


def conv(x, kernel, stride=1):
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    kernel = kernel / (kernel.std(axis=(0, 1, 2)) + 1e-5)
    return np.einsum("bhwijc,ijcd->bhwd", windows(x, len(kernel), stride, 0.0), kernel, optimize=True)


def norm(x, scale, bias):
    b, h, w, channels = x.shape
    groups = x.reshape(b, h * w, 32, channels // 32)
    mean = groups.mean(axis=(1, 3), keepdims=True)
    groups = (groups - mean) / np.sqrt(((groups - mean) ** 2).mean(axis=(1, 3), keepdims=True) + 1e-6)
    return groups.reshape(x.shape) * scale.ravel() + bias.ravel()


def stem_forward(arrays, images):
    """The stem's map (B, H', W', C) of images (B, H, W, 3), float64, from vit_jax/models_resnet.py's definitions."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}

    def step(x, at, number, stride=1):
        x = conv(x, a[f"{at}conv{number}/kernel"], stride)
        return norm(x, a[f"{at}gn{number}/scale"], a[f"{at}gn{number}/bias"])

    x = np.maximum(step(images.astype(np.float64), "", "_root", 2), 0)
    x = windows(x, 3, 2, -np.inf).max(axis=(3, 4))
    stage = unit = 1
    while (at := f"block{stage}/unit{unit}/") + "conv1/kernel" in a:
        stride = 2 if stage > 1 and unit == 1 else 1
        shortcut = step(x, at, "_proj", stride) if unit == 1 else x
        x = np.maximum(step(x, at, 1), 0)
        x = np.maximum(step(x, at, 2, stride), 0)
        x = np.maximum(step(x, at, 3) + shortcut, 0)
        more = f"block{stage}/unit{unit + 1}/conv1/kernel" in a
        stage, unit = (stage, unit + 1) if more else (stage + 1, 1)
    return x


def forward(arrays, images):
    """Logits (B, K) of images (B, H, W, 3): the ViT's patches are cut from the stem's map."""
    return jax_reference.forward(arrays, stem_forward(arrays, images))
