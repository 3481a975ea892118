"""Accuracy of grouping slices by patient from pixels, on modified copies of a data set with known patients:
tools/grouping_table.py DATA TABLE"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors

FEWEST = 3       # slices that the baseline needs for two nearest neighbours


def copies(images: list, generator) -> dict:
    """name → (rows kept, images): typical modifications of redistributed data sets, of gray images (n, H, W)."""
    import io

    import numpy as np
    from PIL import Image

    n, everyone = len(images), np.arange(len(images))
    bilinear = Image.Resampling.BILINEAR

    def jpeg(image):
        file = io.BytesIO()
        Image.fromarray(image).resize((128, 128), bilinear).save(file, "JPEG", quality=60)
        return np.asarray(Image.open(file))

    def relight(image, brightness, contrast):
        bright = image * brightness
        return np.clip((bright - bright.mean()) * contrast + bright.mean(), 0, 255).astype(np.uint8)

    def rotated(degrees):
        angles = generator.uniform(-degrees, degrees, n)
        return [np.asarray(Image.fromarray(p).rotate(a, bilinear)) for p, a in zip(images, angles, strict=True)]

    def shifted(image, dy, dx):
        moved = Image.fromarray(image).transform(image.shape[::-1], Image.Transform.AFFINE, (1, 0, -dx, 0, 1, -dy))
        return np.asarray(moved)

    light, mirrored = generator.uniform(0.7, 1.3, (n, 2)), generator.random(n) < 0.5
    moves, order = generator.integers(-10, 11, (n, 2)).tolist(), generator.permutation(n)
    return {
        "nothing else": (everyone, images),
        "128x128 JPEG 60": (everyone, [jpeg(p) for p in images]),
        "brightness and contrast ±30 %": (everyone, [relight(p, *by) for p, by in zip(images, light, strict=True)]),
        "half of them mirrored": (everyone, [p[:, ::-1] if m else p for p, m in zip(images, mirrored, strict=True)]),
        "rotated by ±5°": (everyone, rotated(5)),
        "rotated by ±15°": (everyone, rotated(15)),
        "shifted by ±10 pixels": (everyone, [shifted(p, *by) for p, by in zip(images, moves, strict=True)]),
        "every second slice": (everyone, None),
        "every third slice": (everyone, None),
        "a random half": (np.sort(order[:n // 2]), images),
        "a random quarter": (np.sort(order[:n // 4]), images),
    }


def plain(images: list):
    """Baseline labels: 52x44 pixels, mean removed, unit norm, mutual two nearest neighbours, connected components."""
    import numpy as np
    from PIL import Image
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    small = [Image.fromarray(image).resize((44, 52), Image.Resampling.BOX) for image in images]
    x = np.stack([np.asarray(image, np.float32).ravel() for image in small])
    x -= x.mean(axis=1, keepdims=True)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    similar = x @ x.T
    np.fill_diagonal(similar, -np.inf)
    links = np.zeros(similar.shape, bool)
    links[np.arange(len(x))[:, None], np.argpartition(-similar, 2, axis=1)[:, :2]] = True
    return connected_components(coo_matrix(links & links.T))[1]


def main() -> None:
    """Prints one row per modification: purity and completeness (scikit-learn's homogeneity and completeness)."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("data", type=Path, metavar="DATA", help="folder that the table's paths are relative to")
        parser.add_argument("table", type=Path, metavar="TABLE", help="CSV with the true path, subject, slice")
        arguments = parser.parse_args()

        import time

        import numpy as np
        import pandas as pd
        from sklearn.metrics import completeness_score, homogeneity_score

        from data_setup.images.read import read_image
        from data_setup.subjects.from_pixels import group_by_pixels
        from data_setup.subjects.path_tables import read_path_table, subject_ids

        table = read_path_table(arguments.table, ["path", "subject", "slice"])
        table["subject"] = subject_ids(table["subject"])
        table = table[table["subject"].notna()].reset_index(drop=True)
        if odd := [text for text in table["slice"] if not re.fullmatch(r"[0-9]{1,9}", text)]:
            raise UserError(f"{arguments.table}: the slice {odd[0][:40]!r} is not an integer below a billion")
        if table.empty:
            raise UserError(f"{arguments.table}: no row has a subject")
        thinned = [(table["slice"].astype(int) % every == 0).sum() for every in (2, 3)]
        if min(len(table) // 4, *thinned) < FEWEST:
            raise UserError(f"{arguments.table}: a quarter of the slices, those of even numbers and those of numbers "
                            f"divisible by three must each be {FEWEST} or more: name more slices")
        images = [read_image(arguments.data / path, 1)[:, :, 0] for path in table["path"]]
        subjects, levels = pd.factorize(table["subject"])[0], table["slice"].astype(int).to_numpy()

        def cell(labels, truth) -> str:
            alone = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
            return f"{homogeneity_score(truth, alone):.3f} / {completeness_score(truth, alone):.3f}"

        print("| modification (names removed) | baseline: purity / completeness | ours | unassigned | links | "
              "expected false links, at most | seconds |\n|---|---|---|---|---|---|---|")
        for name, (rows, changed) in copies(images, np.random.default_rng(0)).items():
            if changed is None:
                rows, changed = np.flatnonzero(levels % (2 if "second" in name else 3) == 0), images
            chosen = [changed[row] for row in rows]
            started = time.perf_counter()
            found = group_by_pixels(chosen)
            seconds = time.perf_counter() - started
            print(f"| {name} | {cell(plain(chosen), subjects[rows])} | {cell(found.groups, subjects[rows])} | "
                  f"{(found.groups < 0).mean():.1%} | {found.links:,} | {found.false_link_rate:.1%} | {seconds:.0f} |",
                  flush=True)


if __name__ == "__main__":
    main()
