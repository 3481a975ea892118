"""The command line of evaluate.py. Does not import torch."""

import argparse
from pathlib import Path

from functions.config.parser import OneLineParser
from functions.config.settings import device_name, share


def evaluation_parser(description: str | None) -> argparse.ArgumentParser:
    """The flags of evaluate.py."""
    parser = OneLineParser(description=description)
    parser.add_argument("run", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
    parser.add_argument("--data", type=Path, metavar="DIR", help="slices to score instead of the run's test set")
    parser.add_argument("--subjects", type=Path, metavar="FILE", help="CSV with columns path, subject for --data")
    parser.add_argument("--subject_pattern", metavar="X", help='regex on the path with a group "subject"')
    parser.add_argument("--table", type=Path, metavar="FILE", help="clinical table: class, age, sex, site, scanner "
                        "of the patients [the run's, for its own test set]")
    parser.add_argument("--against", metavar="RUN", help="another run to compare on the same slices, or a "
                        "baseline: four_numbers, constant")
    parser.add_argument("--prevalence", type=share, metavar="X",
                        help="share of diseased patients, such as 0.1, for which PPV and NPV are given, too")
    parser.add_argument("--order", metavar="A,B,C", help="the classes from the mildest to the most severe stage")
    parser.add_argument("--allow_seen", action="store_true",
                        help="allow patients that were trained on; the result carries a caveat")
    for split in ("train", "test", "val"):
        parser.add_argument(f"--{split}_dir", type=Path, metavar="DIR",
                            help=f"the run's {split} folder, if it was moved")
    parser.add_argument("--device", type=device_name, default="auto", metavar="X",
                        help="auto (a GPU if available), cpu, cuda, cuda:N, mps [auto]")
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="folder for the results [RUN/evaluation, or RUN/evaluation-DATA]")
    return parser
