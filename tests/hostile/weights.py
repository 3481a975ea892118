"""Starting weights: containers and prefixes that people have, wrong tensors, other formats, files that are none."""

import argparse
import io
import json
import struct
from collections.abc import Iterator

import numpy as np
import torch
from safetensors.torch import save
from torchvision.models import resnet18

from tests.hostile.bench import RESNET, Bench, Case
from tests.hostile.checkpoints import sealed, tensor_faults, wrong_files


def numpy_file(arrays: dict) -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def safetensors_headers() -> Iterator[tuple[str, bytes]]:
    def of(header, length=None, body=b"\0" * 16):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + body

    yield "header of 2**63 bytes", of({}, 2**63)
    yield "no JSON", of(b"{{{{")
    yield "offsets beyond", of({"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}})
    yield "offsets reversed", of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}})
    yield "shape overflow", of({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]}})
    yield "unknown type", of({"a": {"dtype": "Q7", "shape": [4], "data_offsets": [0, 16]}})
    yield "deep", of(b"[" * 50_000)
    yield "nothing", of({}, body=b"")
    yield "negative", of({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}})


def cases(bench: Bench) -> Iterator[Case]:
    state = resnet18().state_dict()
    arguments = [
        "--train_dir",
        str(bench.base / "S/train"),
        "--test_dir",
        str(bench.base / "S/test"),
        *RESNET,
        "--epochs",
        "2",
        "--stop_after",
        "1",
        "--weights",
    ]
    tensor = next(name for name, value in state.items() if value.ndim == 4)

    def case(what, file, content, must=""):
        return Case(
            "weights",
            what,
            "train_transferlearning",
            [*arguments, file],
            lambda bench, folder: (folder / file).write_bytes(content()),
            must,
        )

    ours = torch.load(bench.base / "runs/done/best.pt", weights_only=True)
    for suffix in (".pt", ".pth", ".ckpt", ".pth.tar", ".PTH", ".bin", "", ".safetensors", ".npz", ".txt"):
        yield case(f"our checkpoint as {suffix or 'no ending'}", f"w{suffix}", lambda: sealed(ours))
    for key, value in ours.items():
        yield case(
            f"our checkpoint without {key}", "w.pt", lambda key=key: sealed({k: v for k, v in ours.items() if k != key})
        )
        yield case(
            f"our checkpoint with {key} as text",
            "w.pt",
            lambda key=key, value=value: sealed(ours | {key: "x" if not isinstance(value, str) else 7}),
        )
    for what, change in {
        "a tensor as format": {"format": torch.ones(2)},
        "a tensor as frozen": {"frozen": torch.ones(2)},
        "mean and std alone": {"preprocessing": {"mean": [0.5], "std": [0.5]}},
        "a share of 1e-300": {"preprocessing": ours["preprocessing"] | {"crop_share": 1e-300}},
        "an epsilon of 10**400": {"config": ours["config"] | {"norm_eps": 10**400}},
    }.items():
        yield case(
            f"our checkpoint with {what}",
            "w.pt",
            lambda change=change: sealed(ours | {"weights": state} | change),
            "" if "format" in what else "refuse",
        )
    for what, fault in tensor_faults().items():
        yield case(
            f"a tensor: {what}",
            "w.pt",
            lambda fault=fault: sealed(ours | {"weights": ours["weights"] | {"x": fault(state[tensor])}}),
            "" if what in ("fp16", "fp64", "expanded", "float8") else "refuse",
        )
        yield case(
            f"a tensor alone: {what}", "w.pth", lambda fault=fault: sealed(state | {tensor: fault(state[tensor])})
        )
    for prefix in ("module.", "_orig_mod.", "model.", "backbone.", "base_encoder.", "encoder.", "a.b.c.", "\x1b[31m"):
        yield case(
            f"prefix {prefix!r}",
            "w.pth",
            lambda prefix=prefix: sealed({prefix + name: value for name, value in state.items()}),
        )
    for key in ("state_dict", "net", "model_state", "model_ema", "teacher", "model", "\x1b[31m"):
        yield case(
            f"container {key!r}",
            "w.pth",
            lambda key=key: sealed({key: state, "args": argparse.Namespace(lr=1), "best": np.float64(0.5)}),
        )
    for what, content in wrong_files().items():
        yield case(f"file: {what}", "w.pth", lambda content=content: content, "refuse")
    for what, content in safetensors_headers():
        yield case(f"safetensors: {what}", "w.safetensors", lambda content=content: content, "refuse")
    yield case(
        "safetensors of ours",
        "w.safetensors",
        lambda: save({name: value.contiguous() for name, value in state.items()}),
    )
    yield case("npz of ours", "w.npz", lambda: numpy_file({name: value.numpy() for name, value in state.items()}))
    yield case("npz of objects", "w.npz", lambda: numpy_file({"a": np.array([{}], dtype=object)}), "refuse")
    yield case("npz of texts", "w.npz", lambda: numpy_file({"a": np.array(["x"])}), "refuse")
    yield case("npz cut", "w.npz", lambda: numpy_file({"a": np.zeros(99)})[:-40], "refuse")
    for share in (0.01, 0.3, 0.6, 0.95):
        content = bytearray(sealed(ours))
        content[int(len(content) * share)] ^= 2
        yield case(f"bit at {share:.0%} flipped", "w.pth", lambda content=content: bytes(content))
    for text in (
        "",
        "[]",
        "{}",
        '{"mean": "x"}',
        '{"image_mean": [NaN], "image_std": [0]}',
        '{"image_mean": [1,2], "image_std": [1,2]}',
        '{"size": {"height": 1e9}}',
        "[" * 99_999,
        '{"image_std": [0,0,0], "image_mean": [0,0,0]}',
        '{"resample": [], "image_mean": [0.5], "image_std": [1]}',
        '{"resample": {}, "image_mean": [0.5], "image_std": [1]}',
        f'{{"image_std": [1], "image_mean": [{10**400}]}}',
        '{"crop_pct": 1e-9, "mean": [0.5], "std": [1]}',
        '{"crop_pct": 1e-300, "mean": [0.5], "std": [1]}',
        '{"size": 65535, "crop_size": 1, "do_center_crop": true, "image_mean": [0.5], "image_std": [1]}',
    ):
        for name in ("preprocessor_config.json", "config.json"):
            yield Case(
                "weights",
                f"{name} beside: {text[:40]}",
                "train_transferlearning",
                [*arguments, "w.safetensors"],
                lambda bench, folder, text=text, name=name: (
                    (folder / name).write_text(text),
                    (folder / "w.safetensors").write_bytes(save({n: v.contiguous() for n, v in state.items()})),
                ),
            )
