"""Bias and coverage of the age-adjusted AUROC and of matched pairs, simulated: python -m benchmarks.age_adjusted

The score of a patient is slope · (age - 72) / 8 + effect · diseased + N(0, 1). 40 % are diseased, and they are `gap`
years older; ages are N(72, 8) in whole years. Among patients of equal age the AUROC is Φ(effect / √2), which should be
found.
"""

import argparse

import numpy as np
from scipy.stats import norm

from benchmarks.timing import table
from functions.evaluation.auroc import auroc
from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.matching import age_adjusted, matched

PATIENTS, SLOPES, GAPS, EFFECTS = (40, 80, 160), (0.0, 1.0, 2.0), (0.0, 4.0, 10.0), (0.0, 1.0)


def main() -> None:
    """Prints one row for each number of patients and slope: the ranges over GAPS and EFFECTS."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.age_adjusted", description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=500, help="simulated a cell [500]")
    options = parser.parse_args()
    rows = []
    for patients in PATIENTS:
        for slope in SLOPES:
            cells = np.array([simulate(patients, slope, gap, effect, options.cohorts) for gap in GAPS
                              for effect in EFFECTS])
            rows.append([str(patients), f"{slope:g}", *(f"{low:.3f} to {high:.3f}" for low, high in
                                                        zip(cells.min(axis=0), cells.max(axis=0), strict=True))])
    print(table(["patients", "slope", "crude: bias", "age-adjusted: bias", "its coverage", "pairs: bias",
                 "their coverage"], rows))


def simulate(patients: int, slope: float, gap: float, effect: float, cohorts: int) -> list[float]:
    """Bias of the crude AUROC; bias and coverage of the age-adjusted one, and of matched pairs."""
    generator = np.random.default_rng([patients, int(slope), int(gap), int(effect)])
    true = norm.cdf(effect / np.sqrt(2))
    crude, adjusted, pairs = [], [], []
    diseased, none = np.arange(patients) < round(0.4 * patients), np.full(patients, None)
    for _ in range(cohorts):
        age = np.round(generator.normal(72 + gap * diseased, 8))
        score = slope * (age - 72) / 8 + effect * diseased + generator.normal(size=patients)
        sex = generator.choice(["F", "M"], patients).astype(object)
        crude.append(auroc(score, diseased)[0])
        adjusted += [one.auroc] if (one := age_adjusted(score, diseased, age)) else []
        pairs += [one.auroc] if (one := matched(score, diseased, Covariates(age, sex, none, none))[0]) else []
    found = [float(np.mean(crude) - true)]
    for one in (adjusted, pairs):
        found += [float(np.mean([part.value for part in one]) - true),
                  float(np.mean([part.low <= true <= part.high for part in one]))]
    return found


if __name__ == "__main__":
    main()
