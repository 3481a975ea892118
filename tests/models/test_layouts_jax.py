import torch

from models.layouts_jax import to_torch_layout
from tests.models.test_pretrained import small_arrays

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


def test_what_is_unknown_keeps_its_name():
    tensors, _, _ = to_torch_layout(ARRAYS | {"Transformer/encoderblock_0/Adapter/kernel": torch.ones(2, 2)})
    assert "encoder.0.Adapter/kernel" in tensors
