"""Flags with absurd values, in both training scripts, evaluate.py and audit.py."""

from collections.abc import Iterator

from tests.hostile.bench import RESNET, Bench, Case, data

NUMBERS = (
    "0",
    "-1",
    "1000000000",
    "1" + "0" * 400,
    "nan",
    "inf",
    "-inf",
    "",
    " ",
    "abc",
    "0x10",
    "1e-400",
    "１６",
    "1_000",
    "1.5",
    "\x1b[31m",
)
NUMERIC = (
    "epochs",
    "seed",
    "batch_size",
    "accumulation",
    "lr",
    "weight_decay",
    "warmup_share",
    "clip_norm",
    "label_smoothing",
    "dropout",
    "mixup",
    "cutmix",
    "drop_path",
    "ema",
    "patch_size",
    "num_transformer_layer",
    "embedding_dim",
    "mlp_size",
    "num_heads",
    "num_classes",
    "num_workers",
    "profile",
    "image_size",
    "in_channels",
)
WORDS = {
    "model": ("vit", "", "VIT_B_16", "../x", "resnet18"),
    "precision": ("fp8", "FP32", "fp16", "bf16"),
    "optimizer": ("lion", ""),
    "schedule": ("step",),
    "class_weights": ("1", "balanced"),
    "device": ("gpu", "cuda", "cuda:99", "cuda:-1", "mps", "meta", "cpu:0"),
    "split": ("", "none", "patient", "slice", "Patient", "..", "x.csv"),
    "name": (
        "",
        ".",
        "..",
        "../x",
        "/tmp/x",
        "a/b",
        "CON",
        "x" * 300,
        "a\nb",
        "\x1b[31m",
        "-x",
        "a:b",
        " ",
        "é☃",
        "x.",
    ),
    "image_size": ("16x", "x16", "16x12x3", "99999", "16X12", "13x7", "1", "4x4", "16,12"),
    "train_dir": ("", "nowhere", "/dev/null", "/", "~", "/proc", "\x00x"[1:], "a" * 5000),
    "test_dir": ("", "nowhere", "/dev/null", "."),
    "val_dir": ("nowhere", "/dev/null", ""),
    "resume": ("", "nowhere", "/dev/null", ".", "/", "runs"),
    "recipe": ("nowhere", "small_data", "demo.yaml"),
}
TRANSFER = {
    "weights": ("", "nowhere.pth", "/dev/zero", "/dev/null", ".", "IMAGENET9K_V1", "Random", "/etc/passwd"),
    "backbone": ("timm",),
    "train": ("last", "last:0", "last:99", "last:-1", "Head", "last:x", "last:9999999"),
    "mean": ("nan", "1,2", "0.5,", "a", "1,2,3,4", "inf"),
    "std": ("0", "-1", "nan", "1,1,0"),
    "views": ("0", "1000000", "x"),
    "layer_decay": ("2", "-1", "nan"),
    "steps": ("0", "-1", "1.5"),
    "mixup": ("0.4", "0", "nan"),
    "drop_path": ("0.1", "0"),
    "ema": ("0.9", "1"),
    "model": ("resnet9", "vit_ti_16"),
}
WHOLE = (
    ["--nonsense"],
    ["nonsense"],
    ["--epoch"],
    ["--learning_rate", "1"],
    ["--epochs"],
    ["--", "x"],
    ["--lr=0=1"],
    ["--no_no_augment"],
    ["-e", "3"],
    ["--embedding_dim", "13", "--num_heads", "3"],
    ["--demo", "--resume", "x"],
    ["--embedding_dim", "65536", "--num_heads", "1024", "--mlp_size", "65536", "--num_transformer_layer", "1000"],
    ["--image_size", "4096", "--patch_size", "1"],
    ["--batch_size", "100000"],
    ["--epochs", "1000000000"],
    ["--subjects", "auto", "--subject_pattern", "(?P<subject>x)"],
    ["--shard"],
    ["--num_classes", "3"],
    ["--num_classes", "1000000000"],
    ["--warmup_share", "1"],
    ["--lr", "1e30"],
    ["--lr", "0"],
    ["--label_smoothing", "0.99"],
    ["--stop_after", "5"],
    ["--patch_size", "17"],
    ["--num_heads", "5"],
    ["--dropout", "0.99"],
    ["--clip_norm", "1e-30"],
    ["--weight_decay", "1e30"],
    ["--mixup", "0.01", "--cutmix", "100", "--drop_path", "0.99", "--ema", "0.999999"],
    ["--mixup", "1", "--batch_size", "1"],
    ["--tensorboard"],
    ["--tensorboard", "1"],
)


def cases(bench: Bench) -> Iterator[Case]:
    short = ["--epochs", "2", "--stop_after", "1"]
    number = 0
    for flag in NUMERIC:
        for value in NUMBERS:
            number += 1
            if number % 2 == 0 or value in ("-1", "1" + "0" * 400):
                yield Case(
                    "flags",
                    f"--{flag} {value[:20]!r}",
                    "train",
                    [*data(bench), *short, f"--{flag}", value],
                    must="refuse" if value in ("nan", "abc", "-inf", "") else "",
                )
    for flag, values in WORDS.items():
        for value in values:
            yield Case("flags", f"--{flag} {value[:20]!r}", "train", [*data(bench), *short, f"--{flag}", value])
    for given in WHOLE:
        yield Case("flags", " ".join(given)[:60], "train", [*data(bench), *short, *given])
    for flag, values in TRANSFER.items():
        for value in values:
            yield Case(
                "transfer flags",
                f"--{flag} {value[:20]!r}",
                "train_transferlearning",
                [*data(bench)[:4], *RESNET, "--weights", "random", *short, f"--{flag}", value],
            )
    done = "runs/done"
    for given in (
        ["nowhere"],
        ["/dev/null"],
        ["."],
        ["/dev/zero"],
        [done, "--data", "nowhere"],
        [done, "--data", "/dev/null"],
        [done, "--data", "."],
        [done, "--order", "AD"],
        [done, "--order", "AD,CN,X"],
        [done, "--order", ""],
        [done, "--order", "AD,AD"],
        [done, "--order", "cn,ad"],
        [done, "--against", "nowhere"],
        [done, "--subject_pattern", "("],
        [done, "--subjects", "nowhere.csv"],
        [done, "--out", "/dev/null"],
        [done, "--out", "/proc/x"],
        [done, "--out", ""],
        [done, "--device", "cuda"],
        [done, "--train_dir", "nowhere"],
        [done, "--train_dir", "/dev/null"],
        [f"{done}/run.json"],
        [f"{done}/report.html"],
        [],
        [done, done],
        [f"{done}/last.pt", "--test_dir", "x"],
        [f"{done}/best.pt"],
        [done, "--data", str(bench.base / "S/test")],
        [done, "--data", str(bench.base / "S")],
    ):
        yield Case(
            "evaluate flags",
            " ".join(given).replace(str(bench.base), "B")[:70],
            "evaluate",
            [*given, *([] if "--out" in given or not given else ["--out", "out"])],
            lambda bench, folder: bench.run(folder, "done") and None,
            names=("RUN", "checkpoint", "error: . "),
        )
    for given in (
        ["nowhere"],
        ["/dev/null"],
        ["."],
        ["/dev"],
        ["S", "--subjects", "nowhere"],
        ["S", "--subject_pattern", "("],
        ["S", "--out", "/dev/null/x"],
        ["S", "--out", "/proc/x"],
        [],
        [""],
        ["\x1b[31m"],
        ["x" * 5000],
    ):
        given = [given[0].replace("S", str(bench.base / "S")), *given[1:]] if given and given[0] == "S" else given
        yield Case(
            "audit flags",
            (" ".join(given) or repr(given)).replace(str(bench.base), "B")[:70],
            "audit",
            given,
            names=("DATA", "error: . ", "class folders", "an argument"),
        )
