"""The authors' model in NumPy, float64, from the paper's formulas and in JAX's axis order; and arrays in their layout.

Nothing here is shared with the code under test. Sources: Dosovitskiy et al. 2021, Eq. 1–8; google-research/
vision_transformer, vit_jax/models_vit.py, for names, axis order, epsilon 1e-6 and the tanh form of the GELU.
"""

import numpy as np


def make_arrays(patch, width, heads, mlp, layers, grid, classes, seed=0, hidden=None):
    """Arrays as the authors' .npz files name and shape them, none of them trivial; `hidden`: width of a pre_logits."""
    draw = np.random.default_rng(seed)

    def normal(*shape, std):
        return draw.normal(0, std, shape).astype(np.float32)

    deep = width // heads
    arrays = {"embedding/kernel": normal(patch, patch, 3, width, std=0.05 * (3 * patch**2) ** -0.5),
              "embedding/bias": normal(width, std=0.03), "cls": normal(1, 1, width, std=0.03),
              "Transformer/posembed_input/pos_embedding": normal(1, grid[0] * grid[1] + 1, width, std=0.03),
              "Transformer/encoder_norm/scale": 1 + normal(width, std=0.2),
              "Transformer/encoder_norm/bias": normal(width, std=0.2)}
    for i in range(layers):
        block = f"Transformer/encoderblock_{i}"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            arrays[f"{block}/{norm}/scale"] = 1 + normal(width, std=0.2)
            arrays[f"{block}/{norm}/bias"] = normal(width, std=0.2)
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            arrays[f"{attention}/{part}/kernel"] = normal(width, heads, deep, std=1.5 * width**-0.5)
            arrays[f"{attention}/{part}/bias"] = normal(heads, deep, std=0.2)
        arrays[f"{attention}/out/kernel"] = normal(heads, deep, width, std=width**-0.5)
        arrays[f"{attention}/out/bias"] = normal(width, std=0.2)
        for name, shape in (("Dense_0", (width, mlp)), ("Dense_1", (mlp, width))):
            arrays[f"{block}/MlpBlock_3/{name}/kernel"] = normal(*shape, std=2 * shape[0] ** -0.5)
            arrays[f"{block}/MlpBlock_3/{name}/bias"] = normal(shape[1], std=0.2)
    if hidden:
        arrays["pre_logits/kernel"] = normal(width, hidden, std=width**-0.5)
        arrays["pre_logits/bias"] = normal(hidden, std=0.1)
    return arrays | {"head/kernel": normal(hidden or width, classes, std=(hidden or width) ** -0.5),
                     "head/bias": normal(classes, std=0.2)}


def as_big_vision(arrays):
    """The same weights under big_vision's names: positions of the patches alone, the class token's folded into it."""
    renamed = {}
    for name, array in arrays.items():
        for theirs, new in (("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"),
                            ("LayerNorm_2", "LayerNorm_1"), ("MlpBlock_3", "MlpBlock_0")):
            name = name.replace(theirs, new)
        renamed[name] = array
    positions = renamed.pop("Transformer/posembed_input/pos_embedding")
    return renamed | {"pos_embedding": positions[:, 1:], "cls": renamed["cls"] + positions[:, :1]}


def layer_norm(x, scale, bias):
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + 1e-6) * scale + bias


def forward(arrays, images):
    """Logits (B, K) of images (B, H, W, 3)."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}
    patch = a["embedding/kernel"].shape[0]
    b, height, width, channels = images.shape
    pieces = images.astype(np.float64).reshape(b, height // patch, patch, width // patch, patch, channels)
    z = np.einsum("bhiwjc,ijcd->bhwd", pieces, a["embedding/kernel"], optimize=True) + a["embedding/bias"]
    z = z.reshape(b, -1, z.shape[-1])
    cls = np.broadcast_to(a["cls"], (b, 1, z.shape[-1]))
    z = np.concatenate([cls, z], axis=1) + a["Transformer/posembed_input/pos_embedding"]               # Eq. 1
    i = 0
    while (block := f"Transformer/encoderblock_{i}") + "/LayerNorm_0/scale" in a:
        x = layer_norm(z, a[f"{block}/LayerNorm_0/scale"], a[f"{block}/LayerNorm_0/bias"])
        at = f"{block}/MultiHeadDotProductAttention_1"
        q, k, v = (np.einsum("bnd,dhe->bnhe", x, a[f"{at}/{part}/kernel"], optimize=True) + a[f"{at}/{part}/bias"]
                   for part in ("query", "key", "value"))
        scores = np.einsum("bqhe,bkhe->bhqk", q, k, optimize=True) / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        seen = np.einsum("bhqk,bkhe->bqhe", weights, v, optimize=True)
        z = z + np.einsum("bqhe,hed->bqd", seen, a[f"{at}/out/kernel"], optimize=True) + a[f"{at}/out/bias"]   # Eq. 2
        x = layer_norm(z, a[f"{block}/LayerNorm_2/scale"], a[f"{block}/LayerNorm_2/bias"])
        x = x @ a[f"{block}/MlpBlock_3/Dense_0/kernel"] + a[f"{block}/MlpBlock_3/Dense_0/bias"]
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        z = z + x @ a[f"{block}/MlpBlock_3/Dense_1/kernel"] + a[f"{block}/MlpBlock_3/Dense_1/bias"]            # Eq. 3
        i += 1
    y = layer_norm(z[:, 0], a["Transformer/encoder_norm/scale"], a["Transformer/encoder_norm/bias"])           # Eq. 4
    if "pre_logits/kernel" in a:
        y = np.tanh(y @ a["pre_logits/kernel"] + a["pre_logits/bias"])
    return y @ a["head/kernel"] + a["head/bias"]
