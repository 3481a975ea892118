"""Recipes that YAML allows, and files that are no YAML."""

from collections.abc import Iterator

from tests.hostile.bench import Bench, Case
from tests.hostile.tables import TRAIN

RECIPES = {
    "empty": "",
    "a list": "- 1\n- 2\n",
    "a text": "hello",
    "a number": "3",
    "null": "null",
    "tabs": "\tlr: 1\n",
    "colon": "lr: : 1",
    "twice": "lr: 0.1\nlr: 0.2\n",
    "alias bomb": "a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nlr: *c\n",
    "merge": "a: &a {lr: 1}\n<<: *a\n",
    "deep": "lr: " + "[" * 3000,
    "deep maps": "".join(" " * n + "a:\n" for n in range(500)),
    "code": "lr: !!python/object/apply:os.system ['touch ../canary']",
    "new object": "!!python/object/new:os.system [touch ../canary]",
    "name tag": "lr: !!python/name:os.system",
    "odd tag": "lr: !!int x",
    "binary": "lr: !!binary x",
    "timestamp": "lr: 2020-99-99",
    "set": "!!set {lr, epochs}",
    "nan": "lr: .nan",
    "inf": "lr: .inf",
    "negative": "lr: -1",
    "bool": "epochs: true",
    "yes": "augment: yes",
    "text for bool": "augment: maybe",
    "float epochs": "epochs: 1.5",
    "huge": "epochs: 1" + "0" * 400,
    "octal": "epochs: 0o7",
    "sexagesimal": "epochs: 1:30",
    "list for number": "lr: [1, 2]",
    "map for number": "lr: {a: 1}",
    "null value": "lr:",
    "unknown": "learning_rate: 1",
    "unknown near": "epoch: 1",
    "number key": "1: 2",
    "list key": "[1]: 2",
    "map key": "? {a: 1}\n: 2",
    "null key": "~: 1",
    "two documents": "lr: 0.1\n---\nlr: 0.2\n",
    "long key": "x" * 5000 + ": 1",
    "quote": "lr: '0.1",
    "control": "lr: \x01",
    "escape": '"\\e[31m": 1',
    "surrogate": '"\\ud800": 1',
    "dash flag": "--lr: 0.1",
    "resume": "resume: runs/x",
    "recipe": "recipe: r.yaml",
    "device": "device: gpu",
    "train_dir": "train_dir: [a, b]",
    "subjects": "subjects: 3",
    "size": "image_size: 10x",
    "size list": "image_size: [16, 12, 3]",
    "size zero": "image_size: 0",
    "model": "model: resnet9000",
    "model list": "model: [vit_b_16]",
    "name": "name: ../../x",
    "name number": "name: 12",
    "split": "split: nonsense",
    "sizes that do not fit": "embedding_dim: 13",
    "batch": "batch_size: 0",
    "date": "name: 2020-01-01",
    "windows": "train_dir: C:\\data",
    "views": "mean: abc",
    "plain": "lr: 0.001\nweight_decay: 0.1\n",
    "mixed": "mixup: 0.4\ncutmix: 1\nema: 0.99\ndrop_path: 0.1\n",
}


def cases(bench: Bench) -> Iterator[Case]:
    for what, text in RECIPES.items():

        def write_recipe(bench, folder, text=text):
            bench.slices(folder / "D")
            (folder / "r.yaml").write_bytes(text.encode(errors="surrogatepass"))

        yield Case("recipes", what, "train", [*TRAIN, "--recipe", "r.yaml"], write_recipe, names=(f"--{what}",))
    for what, content in (
        ("Latin-1", b"lr: 0.1 # \xe9"),
        ("UTF-16", "lr: 0.1".encode("utf-16")),
        ("all bytes", bytes(range(256))),
        ("large", b"# x\n" * 90_000),
    ):
        yield Case(
            "recipes",
            what,
            "train",
            [*TRAIN, "--recipe", "r.yaml"],
            lambda bench, folder, content=content: (
                bench.slices(folder / "D"),
                (folder / "r.yaml").write_bytes(content),
            ),
        )
