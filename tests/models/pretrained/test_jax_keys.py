import pytest
import torch

from models.pretrained.jax_keys import to_torch_layout
from tests.models.pretrained.test_load import small_arrays

ARRAYS = {name: torch.from_numpy(array) for name, array in small_arrays().items()}


def test_each_query_head_is_a_block_of_rows():
    tensors, heads, notes = to_torch_layout(ARRAYS)
    assert (heads, notes) == (3, [])
    at = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    in_proj = tensors["encoder.1.msa_block.attention.in_proj_weight"]                # (3D, D)
    for part, name in enumerate(("query", "key", "value")):
        for head in range(3):
            rows = in_proj[12 * part + 4 * head:12 * part + 4 * head + 4]
            assert torch.equal(rows, ARRAYS[f"{at}/{name}/kernel"][:, head].T)
    out = tensors["encoder.1.msa_block.attention.out_proj.weight"]                   # (D, D): columns are head by head
    assert torch.equal(out[:, 8:12], ARRAYS[f"{at}/out/kernel"][2].T)


def test_a_patch_is_read_row_by_row_and_channel_by_channel():
    kernel = to_torch_layout(ARRAYS)[0]["patch_embedding.project.weight"]
    assert kernel[7, 2, 1, 3] == ARRAYS["embedding/kernel"][1, 3, 2, 7]


def test_dense_layers_are_transposed_and_contiguous():
    tensors, _, _ = to_torch_layout(ARRAYS)
    weight = tensors["encoder.0.mlp_block.mlp.0.weight"]
    assert weight.is_contiguous()
    assert torch.equal(weight.T, ARRAYS["Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("key/kernel", (12, 6, 2)), ("value/bias", (4, 3)), ("out/kernel", (4, 3, 12)), ("query/kernel", (3, 12, 4))],
)
def test_heads_of_another_number_or_order_are_refused_though_their_product_is_right(name, shape):
    full = f"Transformer/encoderblock_1/MultiHeadDotProductAttention_1/{name}"
    with pytest.raises(ValueError, match=r"encoder.1.attention/\w+/kernel is|encoder.1.attention/value/bias is"):
        to_torch_layout(ARRAYS | {full: ARRAYS[full].reshape(shape)})


def test_blocks_of_different_numbers_of_heads_are_refused():
    at, odd = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/", {}
    for name, array in ARRAYS.items():
        if name.startswith(at) and name != f"{at}out/bias":
            shapes = {2: (6, 2), 3: (6, 2, 12) if "out" in name else (12, 6, 2)}
            odd[name] = array.reshape(shapes[array.ndim])
    with pytest.raises(ValueError, match="blocks of 3 heads and of 6"):
        to_torch_layout(ARRAYS | odd)


def test_what_is_unknown_keeps_its_name():
    tensors, _, _ = to_torch_layout(ARRAYS | {"Transformer/encoderblock_0/Adapter/kernel": torch.ones(2, 2)})
    assert "encoder.0.Adapter/kernel" in tensors
