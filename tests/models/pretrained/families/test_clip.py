import pytest
import torch

from models.pretrained.families.clip import clip_as_timm, clip_layout
from models.pretrained.key_maps import convert
from tests.models.parity import perturbed
from tests.models.pretrained.families.networks import SIZES, difference, images, other_form, ours, timm_vit

CLIP = {"pre_norm": True}


def transformers_tower(activation="quick_gelu"):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(**SIZES, projection_dim=5, hidden_act=activation)
    net = perturbed(CLIPVisionModelWithProjection(config), 0)
    net.vision_model.post_layernorm.weight.data += 1                 # "pos" is in its name, as in those of positions
    return net


def pooled(net):
    with torch.no_grad():
        return net.vision_model(images()).pooler_output


def as_openai(tower):
    """The names of openai/CLIP and open_clip, which hold q, k and v in one tensor."""
    state = {name.removeprefix("vision_model."): t for name, t in tower.state_dict().items()}
    renamed = {"class_embedding": state["embeddings.class_embedding"],
               "conv1.weight": state["embeddings.patch_embedding.weight"],
               "positional_embedding": state["embeddings.position_embedding.weight"],
               "proj": state["visual_projection.weight"].T}
    for end in ("weight", "bias"):
        renamed |= {f"ln_pre.{end}": state[f"pre_layrnorm.{end}"], f"ln_post.{end}": state[f"post_layernorm.{end}"]}
        for i in range(2):
            layer, block = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
            parts = [state[f"{layer}self_attn.{part}_proj.{end}"] for part in "qkv"]
            renamed[f"{block}attn.in_proj_{end}"] = torch.cat(parts)
            for theirs, openais in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"),
                                    ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                renamed[f"{block}{openais}.{end}"] = state[f"{layer}{theirs}.{end}"]
    return {f"visual.{name}": t for name, t in renamed.items()}


@pytest.mark.parametrize("layout", ["huggingface", "open_clip"])
def test_the_tower_with_its_norm_before_the_blocks_epsilon_and_gelu(layout):
    net = transformers_tower()
    expected = pooled(net)
    state = net.state_dict() if layout == "huggingface" else as_openai(net) | {"logit_scale": torch.tensor(1.0)}
    converted = convert(state)
    assert (converted.family, converted.norm_eps, converted.gelu, converted.pool) == ("CLIP", 1e-5, "quick", "cls")
    assert (converted.layout, converted.resizing) == (layout, "huggingface" if layout == "huggingface" else "timm")
    assert any("the quick GELU is assumed" in note for note in converted.notes)
    assert not any("is assumed" in note for note in convert(state, {"gelu": "quick"}).notes)
    left = "1 tensor): visual_projection" if layout == "huggingface" else "2 tensors): logit_scale, proj"
    assert f"of CLIP, what is not the image tower is left out ({left}" in converted.notes
    model = ours(state, **CLIP)
    assert difference(model, expected) < 1e-5
    assert difference(other_form(model, norm_eps=1e-6), expected) > 1e-4
    assert difference(other_form(model, norm_eps=1e-5, gelu="none"), expected) > 1e-3
    other_form(model, gelu="quick").patch_embedding.norm = torch.nn.Identity()
    assert difference(model, expected) > 1e-2


def test_a_configuration_says_that_the_gelu_is_the_exact_one(tmp_path):
    """LAION's CLIP; transformers keeps the tower's settings under vision_config in a whole CLIP's config.json."""
    net = transformers_tower("gelu")
    net.save_pretrained(tmp_path)
    assert difference(ours(tmp_path, **CLIP), pooled(net)) < 1e-5


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_timms_tower_has_the_exact_gelu_unless_its_architecture_says_quick(activation, tmp_path):
    import json
    from functools import partial

    from safetensors.torch import save_file
    from torch import nn

    net = timm_vit(pre_norm=True, norm_layer=partial(nn.LayerNorm, eps=1e-5), act_layer=activation)
    assert "patch_embed.proj.bias" not in net.state_dict()
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    quick = "_quickgelu" * (activation == "quick_gelu")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": f"vit_base_patch16_clip{quick}_224"}))
    assert (convert(net.state_dict()).family, convert(net.state_dict()).gelu) == ("CLIP", "none")
    with torch.no_grad():
        expected = net(images())
    assert difference(ours(tmp_path, **CLIP), expected) < 1e-5
    assert (difference(ours(net.state_dict(), **CLIP), expected) < 1e-5) == (activation == "gelu")


def test_a_model_without_the_norm_before_the_blocks_refuses_it_and_the_other_way_round():
    state = transformers_tower().state_dict()
    with pytest.raises(ValueError, match="have a LayerNorm of z_0: build the model with pre_norm=True"):
        ours(state)
    with pytest.raises(ValueError, match="have no LayerNorm of z_0: build the model with pre_norm=False"):
        ours(timm_vit().state_dict(), **CLIP)


def test_the_tower_is_found_in_a_whole_clip_and_two_are_refused():
    state = transformers_tower().state_dict()
    whole = state | {"text_model.embeddings.position_embedding.weight": torch.ones(7, 12)}
    assert clip_layout(whole) == ("huggingface", "vision_model.")
    assert clip_layout(["class_embedding"]) == ("", ""), "the replicated repository's name"
    assert clip_as_timm({"cls_token": torch.ones(1)}) == ({"cls_token": torch.ones(1)}, "", [])
    with pytest.raises(ValueError, match="several CLIP towers"):
        convert(whole | {f"other.{name}": t for name, t in state.items()})


def test_an_attention_with_two_of_three_matrices_is_refused():
    state = transformers_tower().state_dict()
    name = "vision_model.encoder.layers.1.self_attn.v_proj.weight"
    for odd in ({}, {name: torch.ones(12, 5)}):
        with pytest.raises(ValueError, match=r"blocks.1.attn.q.weight: q, k and v are not three tensors of one shape"):
            convert({key: t for key, t in state.items() if key != name} | odd)


def test_a_clip_whose_tower_is_timms_plain_vit_is_read_with_open_clips_settings(tmp_path):
    """BiomedCLIP: visual.trunk is timm's vit_base_patch16_224, and the file holds the text tower too."""
    import json

    from safetensors.torch import save_file

    net = timm_vit()
    whole = {f"visual.trunk.{name}": tensor for name, tensor in net.state_dict().items()}
    whole |= {"visual.head.proj.weight": torch.ones(5, 12), "logit_scale": torch.tensor(1.0),
              "text.transformer.embeddings.LayerNorm.weight": torch.ones(7)}
    save_file(whole, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"vision_cfg": {"timm_pool": ""}}}))
    with torch.no_grad():
        assert difference(ours(tmp_path), net(images())) < 1e-5
    assert "3 tensors outside of visual.trunk are left out: logit_scale, text, visual" in convert(whole).notes


def test_open_clips_layer_scale_is_timms():
    tower = {"class_embedding": torch.ones(4), "ln_pre.weight": torch.ones(4),
             "transformer.resblocks.1.ls_2.gamma": torch.ones(4)}
    assert "blocks.1.ls2.gamma" in clip_as_timm(tower)[0]
